"""Scatter plot of curvature against the score, one point per configuration."""

import math
from typing import Any

import altair as alt
import numpy as np

from service.sensitivity import flatness_correlation
from service.sensitivity.errors import UnknownNameError
from service.sensitivity.figures.axes import chance_line, score_axis
from service.sensitivity.figures.curvature_scale import curvature_bounds, curvature_split
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    metric_of,
    of_workload,
    rate_and_decay,
    score_scales,
)
from service.sensitivity.figures.theme import RECORDS, Theme, decades, optimizer_colour, titled
from service.sensitivity.hyperparameters import configuration_label
from service.sensitivity.number_format import split_label
from service.sensitivity.optimizer_trials import CURVATURE_METRICS
from service.sensitivity.scores import score
from service.sensitivity.trial_table import TrialTable
from workers.metrics import METRICS

__all__ = ["curvature_scatter", "draw_curvature_scatter"]


def curvature_scatter(
    table: TrialTable, metric: str = "hessian_trace", split: str | None = None
) -> FigureData:
    """Seed-median curvature against the seed-mean score of every configuration.

    Args:
        table: The trials.
        metric: "hessian_trace" or "hessian_lambda_max".
        split: By default "ood" where it was measured.

    Returns:
        One record per configuration with curvature: ``optimizer``, ``title``, ``learning_rate`` and
        ``weight_decay`` (null where not varied), ``configuration`` (as text), ``curvature``,
        ``shown`` (within the axis), ``place`` ("within", "below", "above"), ``score`` (also
        as ``accuracy`` if it is one), ``learned``, ``efficient`` (no configuration that learned has
        both as good a score and as little curvature, and is better in one: the Pareto front).
    """
    if metric not in CURVATURE_METRICS:
        raise UnknownNameError("metric", metric, CURVATURE_METRICS)
    split = curvature_split(table, metric, split)
    scored = score(table, resample=False)
    values = [
        flatness_correlation.seed_median(scores.trials.curvature(metric, split))
        for scores in scored
    ]
    low, high = curvature_bounds(values)
    best = max(float(np.nanmax(scores.val)) for scores in scored)
    records: list[Datum] = []
    hidden = 0
    for scores, of_optimizer in zip(scored, values, strict=True):
        learned = flatness_correlation.learned(scores.val, best, table.chance)
        hidden += int(scores.trials.all_diverged.sum())
        for at, value in enumerate(of_optimizer.tolist()):
            if math.isnan(value) or math.isnan(scores.evaluation[at]):
                continue
            configuration = scores.trials.configuration(at)
            records.append(
                {
                    "optimizer": scores.trials.label,
                    "title": scores.trials.title,
                    **rate_and_decay(configuration),
                    "configuration": configuration_label(configuration),
                    "curvature": value,
                    "shown": min(max(value, low), high),
                    "place": "below" if value < low else "above" if value > high else "within",
                    **_score(table, float(scores.evaluation[at])),
                    "learned": bool(learned[at]),
                    "efficient": False,
                }
            )
    _mark_front([record for record in records if record["learned"]], table.score.sign)
    title = METRICS[metric].title
    notes = [f"line: no configuration has both a better {table.score.name} and less curvature"]
    if not all(record["learned"] for record in records):
        notes.append("hollow: hardly learned, flatness means nothing")
    if any(record["place"] != "within" for record in records):
        notes.append("triangles lie beyond the axis (left: also negative)")
    if hidden:
        notes.append(f"{hidden} configurations diverged and have no curvature")
    return FigureData(
        name="curvature-scatter",
        title=f"{title} against {table.score.name}{of_workload(table)}",
        notes=notes,
        records=records,
        scales={
            "low": low,
            "high": high,
            **score_scales(table),
            "x_title": f"{title}, {split_label(split)}",
            "y_title": METRICS[metric_of(table)].title,
            "optimizers": [scores.trials.title for scores in scored],
        },
    )


def _score(table: TrialTable, oriented: float) -> Datum:
    """The score of a configuration; records of accuracies have it under that name, too."""
    value = table.score.oriented(oriented)
    found: Datum = {"score": value}
    if table.score.name == "accuracy":
        found["accuracy"] = value
    return found


def _mark_front(records: list[Datum], sign: float) -> None:
    """Mark the Pareto front: records that no other dominates; one of several equal ones."""
    flatness = np.array([record["curvature"] for record in records], dtype=float)
    score = sign * np.array([record["score"] for record in records], dtype=float)
    order = np.lexsort((-score, flatness))
    before = np.maximum.accumulate(np.append(-np.inf, score[order]))[:-1]
    for at in order[score[order] > before]:
        records[at]["efficient"] = True


def draw_curvature_scatter(figure: FigureData, theme: Theme) -> Any:
    """Draw points over a log axis, triangles at its ends, and the Pareto front as a step line."""
    optimizers = [str(label) for label in figure.scales["optimizers"]]  # type: ignore[union-attr]
    low, high = figure.scale("low"), figure.scale("high")
    x = alt.X(
        "shown:Q",
        title=str(figure.scales["x_title"]),
        scale=alt.Scale(type="log", domain=[low, high], padding=10),
        axis=alt.Axis(format=".0e", values=decades(low, high)),
    )
    y = score_axis(figure, "score", title=str(figure.scales["y_title"]))
    colour = optimizer_colour(optimizers)
    shape = alt.Shape(
        "place:N",
        scale=alt.Scale(
            domain=["within", "below", "above"],
            range=["circle", "triangle-left", "triangle-right"],
        ),
        legend=None,
    )
    points = alt.Chart(RECORDS).encode(x=x, y=y, shape=shape, color=colour)
    layers = {  # by the field that selects its records; Vega warns of a layer without any
        "datum.efficient": alt.Chart(RECORDS)
        .mark_line(interpolate="step-after", strokeWidth=1, color=theme.faint)
        .encode(x=x, y=y),
        "datum.learned": points.mark_point(filled=True, size=55, opacity=0.85),
        "!datum.learned": points.mark_point(filled=False, size=55),
    }
    has_records = {
        "datum.efficient": any(record["efficient"] for record in figure.records),
        "datum.learned": any(record["learned"] for record in figure.records),
        "!datum.learned": not all(record["learned"] for record in figure.records),
    }
    shown = [chart.transform_filter(test) for test, chart in layers.items() if has_records[test]]
    return (
        alt.layer(*shown, chance_line(figure, theme))
        .properties(width=360, height=260)
        .properties(title=titled(figure.title, figure.notes))
    )
