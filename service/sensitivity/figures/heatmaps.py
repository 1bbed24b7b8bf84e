"""Heatmaps over two hyperparameters, one panel per optimizer (the paper's Figs. 2, 3 and 5).

By default learning rate x weight decay. One colour scale per metric. Cells are categorical and
equally wide: weight decay 0 has no place on a log axis. States that are not values are marked in
the cell: "div" where every seed diverged, "1/3 div" where some did, "–" where none has finished
("pruned" where early stopping caused it), "2/3 seeds" where some have, a red frame where the
curvature is negative, † where the network hardly learned and flatness means nothing. Curvature has
log colours between bounds near its median, so that one 1e24 does not flatten the rest.
"""

import math
from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from service.sensitivity import flatness_correlation, statistics
from service.sensitivity.errors import (
    NeedsGridError,
    NotAvailableError,
    UnknownNameError,
)
from service.sensitivity.figures.colour_scale import ColourScale, score_scale
from service.sensitivity.figures.curvature_scale import (
    curvature_bounds,
    curvature_split,
    is_measured,
)
from service.sensitivity.figures.figure_data import Datum, FigureData, metric_of, of_workload
from service.sensitivity.figures.heatmap_plane import (
    Place,
    Plane,
    choose_plane,
    configurations_by_place,
)
from service.sensitivity.figures.heatmap_texts import (
    cell_label,
    mark_notes,
    plane_notes,
    seed_note,
    seed_spread,
)
from service.sensitivity.hyperparameters import configuration_label, value_datum
from service.sensitivity.number_format import RAISED_MARK, split_label
from service.sensitivity.optimizer_trials import CURVATURE_METRICS, Floats
from service.sensitivity.score_values import score_values
from service.sensitivity.scores import Scores, score
from service.sensitivity.trial_table import TrialTable
from workers.metrics import METRICS, SPLITS
from workers.scores import SCORES

__all__ = ["HEATMAP_METRICS", "accuracy_heatmap", "heatmap", "overview", "trace_heatmap"]

HEATMAP_METRICS = ("ood_accuracy", "val_accuracy", "ood_loss", "val_loss", *CURVATURE_METRICS)


def accuracy_heatmap(
    table: TrialTable,
    split: str | None = None,
    x: str | None = None,
    y: str | None = None,
    rest: str = "best",
    at: Sequence[str] = (),
) -> FigureData:
    """Fig. 3: the score; of the OOD sets unless ``split`` is "validation" or there are none."""
    if split not in (None, *SPLITS):
        raise UnknownNameError("split", split, SPLITS)
    found = heatmap(table, metric_of(table, split), x=x, y=y, rest=rest, at=at)
    return found.model_copy(update={"name": "accuracy-heatmap"})


def trace_heatmap(
    table: TrialTable,
    split: str | None = None,
    x: str | None = None,
    y: str | None = None,
    rest: str = "best",
    at: Sequence[str] = (),
) -> FigureData:
    """Fig. 2: Tr(H)."""
    found = heatmap(table, "hessian_trace", split, x, y, rest, at)
    return found.model_copy(update={"name": "trace-heatmap"})


def overview(
    table: TrialTable,
    x: str | None = None,
    y: str | None = None,
    rest: str = "best",
    at: Sequence[str] = (),
) -> FigureData:
    """Fig. 5: the score, Tr(H), lambda_max on validation and OOD data, as far as measured."""
    metrics: list[tuple[str, str | None]] = [(table.score.val_metric, None)]
    if table.has_ood:
        metrics.append((table.score.ood_metric, None))
    metrics += [
        (metric, split)
        for metric in CURVATURE_METRICS
        for split in table.curvature_splits
        if is_measured(table, metric, split)
    ]
    figures = [heatmap(table, metric, split, x, y, rest, at) for metric, split in metrics]
    return FigureData(
        name="overview",
        title=f"{table.score.name.capitalize()} and curvature{of_workload(table)}",
        notes=list(dict.fromkeys(note for figure in figures for note in figure.notes)),
        records=[record for figure in figures for record in figure.records],
        scales={
            f"{figure.records[0]['panel']}.{name}": value
            for figure in figures
            for name, value in figure.scales.items()
        },
    )


def heatmap(
    table: TrialTable,
    metric: str,
    split: str | None = None,
    x: str | None = None,
    y: str | None = None,
    rest: str = "best",
    at: Sequence[str] = (),
    span: str | None = None,
) -> FigureData:
    """One metric over two hyperparameters of every optimizer.

    The score is a seed mean with diverged trials at chance; a loss or accuracy that is not the
    score is the mean over the completed seeds, a curvature the median over them.

    Args:
        table: The trials of a grid search.
        metric: One of ``HEATMAP_METRICS``.
        split: Of a curvature: by default "ood" where it was measured, else "validation".
        x: Name of the horizontal axis; by default the learning rate, or the first one.
        y: Name of the vertical axis; by default the weight decay, or the next one.
        rest: What other hyperparameters are reduced to: "best", the choice that validation selects,
            or "mean" (of curvatures the median) over all choices.
        at: Fixed values of other hyperparameters, each as ``axis=value``.
        span: Of scores: how much worse than the best the colours begin, in percentage points of
            accuracy or nats of loss; by default they begin at chance.

    Returns:
        One record per cell: ``panel``, ``optimizer``, ``title``, ``x`` and ``y`` (also under the
        names of the axes), ``others`` (the values of the other hyperparameters as text), ``value``,
        ``state`` ("value", "diverged", "missing"), ``label`` and ``note`` to print in it, ``shade``
        in [0, 1] (its place on the shared colour scale), ``n_finished``, ``n_diverged``,
        ``n_seeds``, ``negative``, ``learned``, ``spread`` (standard error and range over seeds, as
        text). An optimizer without one of the axes has one record, whose ``state`` is "absent" and
        whose ``label`` is the reason.

    Raises:
        UnknownNameError: An unknown metric, axis or value, or a split without curvature.
        InvalidOptionError: An option that does not fit the others.
        NeedsGridError: Not a grid.
        NotAvailableError: No finished trial, or the metric was not measured.
    """
    if metric not in HEATMAP_METRICS:
        raise UnknownNameError("metric", metric, HEATMAP_METRICS)
    if table.search != "grid":
        raise NeedsGridError("A heatmap", table.search, ("curvature-scatter", "expected-max"))
    scored = score(table, resample=False)
    plane = choose_plane(table.axes, x, y, rest, at)
    plane = plane.narrowed(scores.trials.axes for scores in scored)
    if metric in CURVATURE_METRICS:
        split = curvature_split(table, metric, split)
        values = [
            flatness_correlation.seed_median(scores.trials.curvature(metric, split))
            for scores in scored
        ]
        panel = f"{METRICS[metric].title}, {split_label(split)}"
        scale = ColourScale(*curvature_bounds(values))
    else:
        values = _seed_means(table, scored, metric, split)
        panel = METRICS[metric].title
        shown = SCORES["loss" if metric.endswith("loss") else "accuracy"]
        scale = score_scale(values, shown, table.chance_accuracy, span)
    best_val = max(float(np.nanmax(scores.val)) for scores in scored)
    records = [
        {"panel": panel, **cell}
        for scores, of_optimizer in zip(scored, values, strict=True)
        for cell in _cells(scores, of_optimizer, table, plane, best_val, scale, metric, split)
    ]
    if all(record["state"] == "absent" for record in records):
        raise NotAvailableError(
            "needs_both_axes",
            f"No optimizer searches both {plane.x.name} and {plane.y.name} with the fixed values.",
            sorted({axis.name for axis in table.axes} - {plane.x.name, plane.y.name}),
        )
    return FigureData(
        name="heatmap",
        title=f"{panel}{of_workload(table)}",
        notes=[*plane_notes(scored, plane, scale), *mark_notes(records, scale)],
        records=records,
        scales={
            "low": scale.low,
            "high": scale.high,
            **({} if scale.shown is None else {"score": scale.shown.name}),
            "log": scale.is_curvature,
            "x_axis": plane.x.name,
            "y_axis": plane.y.name,
            "x_title": plane.titles[plane.x.name],
            "y_title": plane.titles[plane.y.name],
            "x_values": list(map(value_datum, plane.x.values)),
            "y_values": list(map(value_datum, plane.y.values)),
            **{
                f"{axis.name}s": list(map(value_datum, axis.values))
                for axis in table.axes
                if axis.name in ("learning_rate", "weight_decay")
            },
        },
    )


def _seed_means(
    table: TrialTable, scored: Sequence[Scores], metric: str, split: str | None
) -> list[Floats]:
    """Seed means of an accuracy or a loss, [C] per optimizer."""
    own = "ood" if metric.startswith("ood") else "validation"
    if split not in (None, own):
        raise UnknownNameError("split", split, (own,))
    if metric == table.score.val_metric:
        return [score_values(table.score, scores.val) for scores in scored]
    if metric == table.score.ood_metric and table.has_ood:
        return [score_values(table.score, scores.evaluation) for scores in scored]
    read = attrgetter(metric)
    found = [statistics.seed_means(scores.trials.measured(read)) for scores in scored]
    if all(np.isnan(of_optimizer).all() for of_optimizer in found):
        what = METRICS[metric].title.replace("Validation", "validation")
        raise NotAvailableError(
            "not_measured", f"No {what} was measured.", (table.score.val_metric,)
        )
    return found


def _cells(
    scores: Scores,
    values: Floats,
    table: TrialTable,
    plane: Plane,
    best_val: float,
    scale: ColourScale,
    metric: str,
    split: str | None,
) -> list[Datum]:
    """The records of one optimizer."""
    trials = scores.trials
    common: Datum = {"optimizer": trials.label, "title": trials.title}
    absence = plane.absence(trials.axes)
    if absence:
        return [common | _absent(plane, absence)]
    finished, diverged = trials.finished.sum(axis=1), trials.diverged.sum(axis=1)
    has_learned = flatness_correlation.learned(scores.val, best_val, table.chance)
    reduced = plane.reduced(trials.axes)
    raised = trials.raised(metric)
    records: list[Datum] = []
    for place, chosen in configurations_by_place(scores, plane).items():
        value = _reduce(values[chosen], scale)
        n_finished, n_diverged = int(finished[chosen].sum()), int(diverged[chosen].sum())
        n_seeds = len(table.seeds) * len(chosen)
        is_known = not math.isnan(value)
        is_diverged = n_diverged > 0 and n_diverged == n_finished
        state = "diverged" if is_diverged else "value" if is_known else "missing"
        learned = bool(has_learned[chosen].any())
        is_raised = state == "value" and not scale.is_curvature and bool(raised[chosen].any())
        results = [trial for at in chosen.tolist() for trial in trials.results[at]]
        configuration = trials.configuration(int(chosen[0]))
        others = [*plane.fixed, *(reduced if plane.rest == "best" else ())]
        records.append(
            common
            | _at(plane, place)
            | {
                "others": configuration_label(
                    {name: configuration[name] for name in others if name in configuration}
                ),
                "value": value if is_known else None,
                "spread": seed_spread(results, metric, split, scale) if len(chosen) == 1 else "",
                "state": state,
                "label": cell_label(state, value, learned, scale) + RAISED_MARK * is_raised,
                "raised": is_raised,
                "note": seed_note(state, n_finished, n_diverged, n_seeds, results),
                "shade": scale.shade(value) if is_known else None,
                "negative": scale.is_curvature and state == "value" and value < 0,
                "learned": learned,
                "n_finished": n_finished,
                "n_diverged": n_diverged,
                "n_seeds": n_seeds,
            }
        )
    return records


def _at(plane: Plane, place: Place) -> Datum:
    """The fields of a place."""
    x, y = map(value_datum, place)
    return {"x": x, "y": y, plane.x.name: x, plane.y.name: y}


def _absent(plane: Plane, reason: str) -> Datum:
    """The fields of the record that stands for all cells of an optimizer without them."""
    return {
        **{"x": None, "y": None, plane.x.name: None, plane.y.name: None},
        "others": "",
        "value": None,
        "spread": "",
        "state": "absent",
        "label": reason,
        "note": "",
        "shade": None,
        "negative": False,
        "raised": False,
        "learned": False,
        "n_finished": 0,
        "n_diverged": 0,
        "n_seeds": 0,
    }


def _reduce(values: Floats, scale: ColourScale) -> float:
    """One value for a cell: the only one, the mean of accuracies, the median of curvatures."""
    if scale.is_curvature:
        return float(flatness_correlation.seed_median(values))
    return float(statistics.known_mean(values))
