"""The configuration validation selects, one bar per optimizer (the paper's Figs. 1 and 4).

The score with its seed interval; Tr(H) and lambda_max on a log axis with their range over seeds. A
bar on a log axis begins at the axis' end and a negative value has no bar: it is printed in red.
"""

import math
from typing import Any

import altair as alt

from service.sensitivity.errors import NotAvailableError, UnknownNameError
from service.sensitivity.figures.axes import chance_line, panel_title
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    of_workload,
    score_of,
    score_scales,
)
from service.sensitivity.figures.theme import RECORDS, Theme, decades, optimizer_colour, titled
from service.sensitivity.hyperparameters import configuration_label
from service.sensitivity.number_format import curvature_label, split_label
from service.sensitivity.optimizer_trials import CURVATURE_METRICS
from service.sensitivity.sweep_summary import summarize
from service.sensitivity.trial_table import TrialTable
from workers.metrics import METRICS, SPLITS

__all__ = ["best", "draw_best"]

_BAR_STEP = 46


def best(table: TrialTable, split: str | None = None) -> FigureData:
    """Score and curvature at the selected configuration of every optimizer.

    Args:
        table: The trials.
        split: "ood" (Fig. 1) or "validation" (Fig. 4); by default "ood" where it was measured.

    Returns:
        One record per bar: ``panel``, ``optimizer``, ``title``, ``value``, ``low``, ``high`` (null
        without an interval), ``log``, ``label``, ``learned``, ``learning_rate`` and
        ``weight_decay`` (null where not varied), ``configuration`` (as text).
    """
    split = split or ("ood" if table.has_ood else "validation")
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    if split == "ood" and not table.has_ood:
        raise NotAvailableError(
            "not_measured", f"No OOD {table.score.name} was measured.", ("validation",)
        )
    records: list[Datum] = []
    for summary in summarize(table).optimizers:
        chosen = summary.best_config
        common: Datum = {
            "optimizer": summary.optimizer,
            "title": summary.title,
            "learned": chosen.learned,
            "learning_rate": chosen.learning_rate,
            "weight_decay": chosen.weight_decay,
            "configuration": configuration_label(chosen.hyperparameters),
        }
        ood = split == "ood"
        value = chosen.ood_score if ood else chosen.val_score
        interval = chosen.ood_score_interval if ood else chosen.val_score_interval
        bar: Datum = {
            "panel": METRICS[table.score.ood_metric if ood else table.score.val_metric].title,
            "log": False,
            "label": table.score.text(value),
            "value": value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
        }
        records.append(bar | common)
        for metric in CURVATURE_METRICS:
            found = getattr(chosen, metric).get(split)
            if found is None:
                continue
            several = found.n_seeds > 1
            records.append(
                {
                    "panel": f"{METRICS[metric].title}, {split_label(split)}",
                    "log": True,
                    "label": curvature_label(found.value) + ("" if chosen.learned else "†"),
                    "value": found.value,
                    "low": found.low if several else None,
                    "high": found.high if several else None,
                }
                | common
            )
    panels = list(dict.fromkeys(str(record["panel"]) for record in records))
    records.sort(key=lambda record: panels.index(str(record["panel"])))
    notes = [
        f"lines: 95 % seed interval of the {table.score.name}, range over seeds of the curvature"
    ]
    if all(record["low"] is None for record in records):
        notes = ["one seed: no intervals"]
    if not all(record["learned"] for record in records):
        notes.append("†: hardly learned, flatness means nothing")
    return FigureData(
        name="best",
        title=f"Validation-selected configurations{of_workload(table)}",
        notes=["; ".join(notes)],
        records=records,
        scales=score_scales(table),
    )


def draw_best(figure: FigureData, theme: Theme) -> Any:
    """Draw one panel per metric with one bar per optimizer."""
    optimizers = [str(label) for label in figure.values("title")]
    panels = []
    for panel in figure.values("panel"):
        records = figure.where(panel=panel)
        log = bool(records[0]["log"])
        low, high = _domain(records) if log else _score_domain(figure, records)
        scale = alt.Scale(type="log" if log else "linear", domain=[low, high], clamp=True)
        y = alt.Y(
            "value:Q",
            title=None,
            scale=scale,
            axis=alt.Axis(format=".0e", values=decades(low, high))
            if log
            else alt.Axis(format=score_of(figure).axis_format),
        )
        x = alt.X(
            "title:N", sort=optimizers, title=None, axis=alt.Axis(labelAngle=-30, ticks=False)
        )
        own = alt.Chart(RECORDS).transform_filter(alt.datum.panel == panel)
        shown = own.transform_filter(f"datum.value > {low}")
        opacity = alt.when("datum.learned").then(alt.value(1)).otherwise(alt.value(0.35))
        bars = shown.mark_bar(width={"band": 0.72}).encode(
            x=x,
            y=y,
            y2=alt.Y2Datum(low),
            color=optimizer_colour(optimizers, legend=False),
            opacity=opacity,
        )
        ranges = own.transform_filter(f"isValid(datum.low) && datum.high > {low}").mark_rule(
            color=theme.ink, strokeWidth=1.5
        )
        labels = shown.transform_calculate(top="max(datum.value, datum.high)").mark_text(
            dy=-7, fontSize=10, color=theme.ink
        )
        hidden = own.transform_filter(f"datum.value <= {low}").mark_text(
            dy=-7, fontSize=10, fontWeight="bold", color=theme.negative
        )
        layers = [
            bars,
            ranges.encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"),
            labels.encode(x=x, y=alt.Y("top:Q", scale=scale), text="label:N"),
            hidden.encode(x=x, y=alt.YDatum(low, scale=scale), text="label:N"),
        ]
        if not log:
            layers.append(chance_line(figure, theme, scale=scale))
        panels.append(
            alt.layer(*layers).properties(
                title=panel_title(str(panel)),
                width=_BAR_STEP * len(optimizers),
                height=180,
            )
        )
    return alt.hconcat(*panels, spacing=28).properties(title=titled(figure.title, figure.notes))


def _score_domain(figure: FigureData, records: list[Datum]) -> tuple[float, float]:
    """From 0 to the best accuracy, 1; of losses to that of a guess, with room for the labels."""
    best = score_of(figure).best
    if best > 0:
        return 0.0, best
    numbers = [record[name] for record in records for name in ("value", "high")]
    largest = max(number for number in numbers if isinstance(number, float))
    return 0.0, 1.1 * max(largest, figure.scale("chance"))


def _domain(records: list[Datum]) -> tuple[float, float]:
    """Whole decades around the positive values; leaves room for the smallest bar and the labels."""
    numbers = [record[name] for record in records for name in ("value", "low", "high")]
    positive = [number for number in numbers if isinstance(number, float) and number > 0]
    if not positive:
        return 0.1, 1.0
    low, high = math.log10(min(positive)), math.log10(max(positive))
    return 10.0 ** math.floor(low - 0.3), 10.0 ** math.ceil(high + 0.1)
