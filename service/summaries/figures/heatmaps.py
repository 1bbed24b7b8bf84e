"""Learning rate x weight decay, a panel an optimizer (the paper's Figs. 2, 3 and 5).

One colour scale a metric. Cells are categorical and equally wide: weight decay 0 has no place on a
log axis. What cannot be a colour is said in the cell: "div" where every seed diverged, "1/3 div"
where some did, "–" where nothing has finished ("pruned" where early stopping saw to it), "2/3
seeds" where some have, a red frame where the curvature is negative, † where the network hardly
learned and flatness means nothing. Curvature has log colours between bounds near its median, so
that one 1e24 does not flatten the rest.
"""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from service.summaries import curvature
from service.summaries.errors import NeedsGridError, NotAvailableError, UnknownNameError
from service.summaries.figures.data import FigureData, Record, of_workload
from service.summaries.figures.theme import RECORDS, Theme, decades, titled
from service.summaries.labels import accuracy_label, curvature_label, split_label
from service.summaries.scoring import Scores, score
from service.summaries.table import CURVATURE_METRICS, Floats, TrialTable
from workers.metrics import METRICS, SPLITS, Outcome

__all__ = [
    "HEATMAP_METRICS",
    "accuracy_heatmap",
    "curvature_bounds",
    "curvature_split",
    "draw_heatmap",
    "draw_overview",
    "heatmap",
    "overview",
    "trace_heatmap",
]

HEATMAP_METRICS = ("ood_accuracy", "val_accuracy", *CURVATURE_METRICS)

# Colours of a curvature reach this far, in decades, above and below its median; what lies beyond
# has the end's colour.
_DECADES = 3
# 1e-3 and 0.01, not 0.00000001 or 1e-2.
_SHORT = (
    "datum.value && abs(datum.value) < 0.01 ? format(datum.value, '.2~e') : format(datum.value,"
    " '.3~g')"
)
_CELL_WIDTH, _CELL_HEIGHT = 46, 34


def accuracy_heatmap(table: TrialTable, split: str | None = None) -> FigureData:
    """Fig. 3: accuracy; of the OOD sets unless ``split`` is "validation" or there are none."""
    split = split or ("ood" if table.has_ood else "validation")
    metric = {"ood": "ood_accuracy", "validation": "val_accuracy"}.get(split)
    if metric is None:
        raise UnknownNameError("split", split, SPLITS)
    return heatmap(table, metric).model_copy(update={"name": "accuracy-heatmap"})


def trace_heatmap(table: TrialTable, split: str | None = None) -> FigureData:
    """Fig. 2: Tr(H)."""
    return heatmap(table, "hessian_trace", split).model_copy(update={"name": "trace-heatmap"})


def overview(table: TrialTable) -> FigureData:
    """Fig. 5: accuracy, Tr(H), lambda_max on validation and OOD data, as far as measured."""
    figures = [heatmap(table, "val_accuracy")]
    if table.has_ood:
        figures.append(heatmap(table, "ood_accuracy"))
    for metric in CURVATURE_METRICS:
        figures += [
            heatmap(table, metric, split)
            for split in table.curvature_splits
            if _measured(table, metric, split)
        ]
    return FigureData(
        name="overview",
        title=f"Accuracy and curvature{of_workload(table)}",
        notes=list(dict.fromkeys(note for figure in figures for note in figure.notes)),
        records=[record for figure in figures for record in figure.records],
        scales={
            f"{figure.records[0]['panel']}.{name}": value
            for figure in figures
            for name, value in figure.scales.items()
        },
    )


def heatmap(table: TrialTable, metric: str, split: str | None = None) -> FigureData:
    """One metric over the grid of every optimizer.

    Accuracies are seed means with diverged trials at chance, curvatures medians over the surviving
    seeds.

    Args:
        table: The trials of a grid search.
        metric: One of ``HEATMAP_METRICS``.
        split: Of a curvature: by default "ood" where it was measured, else "validation".

    Returns:
        A record a cell: ``panel``, ``optimizer``, ``title``, ``learning_rate``, ``weight_decay``,
        ``value``, ``state`` ("value", "diverged", "missing"), ``label`` and ``note`` to print in
        it, ``shade`` in [0, 1] (its place on the shared colour scale), ``n_finished``,
        ``n_diverged``, ``n_seeds``, ``negative``, ``learned``.

    Raises:
        UnknownNameError: An unknown metric, or a split without curvature.
        NeedsGridError: Not a grid.
        NotAvailableError: No finished trial, or the metric was not measured.
    """
    if metric not in HEATMAP_METRICS:
        raise UnknownNameError("metric", metric, HEATMAP_METRICS)
    if table.search != "grid":
        raise NeedsGridError("A heatmap", table.search, ("curvature-scatter", "expected-max"))
    scored = score(table, resample=False)
    is_curvature = metric in CURVATURE_METRICS
    if is_curvature:
        split = curvature_split(table, metric, split)
        values = [
            curvature.seed_median(scores.trials.curvature(metric, split)) for scores in scored
        ]
    else:
        own = "ood" if metric == "ood_accuracy" else "validation"
        if split not in (None, own):
            raise UnknownNameError("split", split, (own,))
        split = own
        if metric == "ood_accuracy" and not table.has_ood:
            raise NotAvailableError(
                "not_measured", "No OOD accuracy was measured.", ("val_accuracy",)
            )
        values = [scores.evaluation if split == "ood" else scores.val for scores in scored]
    low, high = curvature_bounds(values) if is_curvature else _accuracy_bounds(values, table)
    panel = (
        f"{METRICS[metric].title}, {split_label(split)}" if is_curvature else METRICS[metric].title
    )
    best = max(float(np.nanmax(scores.val)) for scores in scored)
    records = [
        record
        for scores, of_optimizer in zip(scored, values, strict=True)
        for record in _cells(scores, of_optimizer, panel, table, best, (low, high), is_curvature)
    ]
    notes = _notes(records, is_curvature, high)
    return FigureData(
        name="heatmap",
        title=f"{panel}{of_workload(table)}",
        notes=notes,
        records=records,
        scales={
            "low": low,
            "high": high,
            "log": is_curvature,
            "learning_rates": list(table.learning_rates),
            "weight_decays": list(table.weight_decays),
        },
    )


def draw_heatmap(figure: FigureData, theme: Theme) -> Any:
    """Panels of one metric beside each other."""
    (panel,) = figure.values("panel")
    return _panels(str(panel), figure, figure.scales, theme).properties(
        title=titled(figure.title, figure.notes)
    )


def draw_overview(figure: FigureData, theme: Theme) -> Any:
    """A row of panels a metric and split."""
    rows = []
    for panel in figure.values("panel"):
        prefix = f"{panel}."
        scales = {
            name.removeprefix(prefix): value
            for name, value in figure.scales.items()
            if name.startswith(prefix)
        }
        row = _panels(str(panel), figure, scales, theme).properties(title=str(panel))
        rows.append(row.to_dict(validate=False))
    # Joined as dictionaries: Altair would copy every row again for each one it is joined with.
    return {
        "$schema": rows[0]["$schema"],
        "title": {"text": figure.title, "subtitle": figure.notes},
        "vconcat": [
            {name: part for name, part in row.items() if name not in ("$schema", "config")}
            for row in rows
        ],
        "resolve": {"scale": {"color": "independent"}},
    }


def _panels(panel: str, figure: FigureData, scales: dict[str, Any], theme: Theme) -> Any:
    """One layered heatmap an optimizer, sharing one colour scale."""
    optimizers = [str(label) for label in figure.values("title")]
    bounds = [float(scales["low"]), float(scales["high"])]
    x = alt.X(
        "learning_rate:N",
        sort=scales["learning_rates"],
        title="learning rate",
        axis=alt.Axis(labelAngle=0, labelExpr=_SHORT),
    )
    y = alt.Y(
        "weight_decay:N",
        sort=scales["weight_decays"][::-1],
        title="weight decay",
        axis=alt.Axis(labelExpr=_SHORT),
    )
    colour = alt.Color(
        "value:Q",
        title=None,
        scale=alt.Scale(
            type="log" if scales["log"] else "linear",
            domain=bounds,
            clamp=True,
            scheme="cividis" if scales["log"] else "viridis",
        ),
        legend=alt.Legend(format=".0e", values=decades(*bounds), gradientLength=110)
        if scales["log"]
        else alt.Legend(format=".0%", tickCount=5, gradientLength=110),
    )
    cells = alt.Chart().transform_filter(alt.datum.panel == panel).encode(x=x, y=y)
    filled = cells.transform_filter("datum.state == 'value' && !datum.negative")
    negative = cells.transform_filter("datum.negative")
    low_end = "#00204c" if scales["log"] else "#440154"
    note = "datum.note != ''"
    ink = (
        alt.when("datum.state != 'value'")
        .then(alt.value(theme.ink))
        .when("datum.shade > 0.55")
        .then(alt.value("#000000"))
        .otherwise(alt.value("#ffffff"))
    )
    layers = alt.layer(
        filled.mark_rect(stroke=theme.background).encode(color=colour),
        negative.mark_rect(fill=low_end, stroke=theme.negative, strokeWidth=2.5),
        cells.transform_filter("datum.state == 'diverged'").mark_rect(
            fill=theme.diverged, stroke=theme.background
        ),
        cells.transform_filter("datum.state == 'missing'").mark_rect(
            fillOpacity=0, stroke=theme.faint, strokeDash=[2, 2], strokeWidth=0.7
        ),
        cells.transform_filter(f"!({note})")
        .mark_text(fontSize=10)
        .encode(text="label:N", color=ink),
        cells.transform_filter(note)
        .mark_text(fontSize=10, dy=-6)
        .encode(text="label:N", color=ink),
        cells.transform_filter(note).mark_text(fontSize=8, dy=7).encode(text="note:N", color=ink),
    ).properties(
        width=_CELL_WIDTH * len(scales["learning_rates"]),
        height=_CELL_HEIGHT * len(scales["weight_decays"]),
    )
    return layers.facet(
        data=RECORDS,
        column=alt.Column("title:N", sort=optimizers, title=None),
        spacing=12,
    )


def _cells(
    scores: Scores,
    values: Floats,
    panel: str,
    table: TrialTable,
    best_val: float,
    bounds: tuple[float, float],
    is_curvature: bool,
) -> list[Record]:
    """The records of one optimizer."""
    trials = scores.trials
    finished, diverged = trials.finished.sum(axis=1), trials.diverged.sum(axis=1)
    has_learned = curvature.learned(scores.val, best_val, table.chance_accuracy)
    records: list[Record] = []
    for at, value in enumerate(values.tolist()):
        n_finished, n_diverged, n_seeds = int(finished[at]), int(diverged[at]), len(table.seeds)
        all_diverged = bool(trials.all_diverged[at])
        known = not math.isnan(value)
        state = "diverged" if all_diverged else "value" if known else "missing"
        label = (
            (curvature_label if is_curvature else accuracy_label)(value)
            if state == "value"
            else {"diverged": "div"}.get(state, "–")
        )
        if state == "value" and is_curvature and not has_learned[at]:
            label += "†"
        if state == "value" and n_diverged:
            note = f"{n_diverged}/{n_seeds} div"
        elif state == "value" and n_finished < n_seeds:
            note = f"{n_finished}/{n_seeds} seeds"
        elif state == "missing" and any(
            row is not None and row.outcome == Outcome.PRUNED for row in trials.rows[at]
        ):
            note = "pruned"
        else:
            note = ""
        records.append(
            {
                "panel": panel,
                "optimizer": trials.label,
                "title": trials.title,
                "learning_rate": float(trials.learning_rates[at]),
                "weight_decay": float(trials.weight_decays[at]),
                "value": value if known else None,
                "state": state,
                "label": label,
                "note": note,
                "shade": _shade(value, bounds, is_curvature) if known else None,
                "negative": state == "value" and value < 0,
                "learned": bool(has_learned[at]),
                "n_finished": n_finished,
                "n_diverged": n_diverged,
                "n_seeds": n_seeds,
            }
        )
    return records


def _notes(records: Sequence[Record], is_curvature: bool, high: float) -> list[str]:
    """What the marks in the cells mean, as far as they occur."""
    states = {record["state"] for record in records}
    notes = []
    if "diverged" in states or any(record["n_diverged"] for record in records):
        treatment = "no curvature" if is_curvature else "counts as chance"
        notes.append(f"div: diverged ({treatment})")
    if "missing" in states:
        notes.append("–: not measured" if is_curvature else "–: not finished")
    if any(record["negative"] for record in records):
        notes.append("red frame: negative")
    if is_curvature and any(
        record["state"] == "value" and not record["learned"] for record in records
    ):
        notes.append("†: hardly learned, flatness means nothing")
    if any(isinstance(record["value"], float) and record["value"] > high for record in records):
        notes.append(f"colours end at {curvature_label(high)}")
    return ["; ".join(notes)] if notes else []


def _shade(value: float, bounds: tuple[float, float], log: bool) -> float:
    """Place on the colour scale, in [0, 1]."""
    if log:
        if value <= 0:
            return 0.0
        value, low, high = (math.log(number) for number in (value, *bounds))
    else:
        low, high = bounds
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _accuracy_bounds(values: Sequence[Floats], table: TrialTable) -> tuple[float, float]:
    """From chance to the best of all panels."""
    best = max(float(np.nanmax(of_optimizer)) for of_optimizer in values)
    return table.chance_accuracy, max(best, table.chance_accuracy + 0.01)


def curvature_bounds(values: Sequence[Floats]) -> tuple[float, float]:
    """The range of the positive curvatures, at most some decades from their median."""
    known = np.concatenate([of_optimizer.ravel() for of_optimizer in values])
    positive = known[known > 0]
    if not positive.size:
        return 1e-3, 1.0
    logs = np.log10(positive)
    median = float(np.median(logs))
    low = max(float(logs.min()), median - _DECADES)
    high = min(float(logs.max()), median + _DECADES)
    if high - low < 1:
        low, high = low - 0.5, high + 0.5
    return 10 ** math.floor(low), 10 ** math.ceil(high)


def curvature_split(table: TrialTable, metric: str, split: str | None) -> str:
    """The split to show, checked."""
    available = [name for name in table.curvature_splits if _measured(table, metric, name)]
    if not available:
        raise NotAvailableError(
            "not_measured", f"No {metric} was measured.", ("ood_accuracy", "val_accuracy")
        )
    if split is None:
        return "ood" if "ood" in available else available[0]
    if split not in available:
        raise UnknownNameError("split", split, available)
    return split


def _measured(table: TrialTable, metric: str, split: str) -> bool:
    """Whether any trial has this curvature."""
    return any(not np.isnan(trials.curvature(metric, split)).all() for trials in table.by_optimizer)
