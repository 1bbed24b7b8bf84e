"""Parallel coordinates: one line per configuration through its hyperparameters to its score."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import panel_title
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    metric_of,
    of_workload,
    score_of,
    score_scales,
)
from service.sensitivity.figures.theme import RECORDS, Theme, titled
from service.sensitivity.hyperparameters import Axis
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.scores import Scores, score
from service.sensitivity.trial_table import TrialTable
from workers.hyperparameter_text import axis_titles, value_text
from workers.metrics import METRICS
from workers.scores import Score
from workers.spec.configuration import Value

__all__ = ["draw_parallel_coordinates", "parallel_coordinates"]

_MAX_LINES = 500
"""More lines per optimizer would only cover each other."""
_MAX_TICKS = 6
_STEP, _HEIGHT = 105, 190
_PANELS_PER_ROW = 2
_SCORE_AXIS = "score"
_COLOURS_FROM = 0.1
"""Share of the configurations below the colour scale: diverged ones would flatten the others."""


def parallel_coordinates(table: TrialTable) -> FigureData:
    """Every configuration as a line through its hyperparameters, coloured by its score.

    Returns:
        One record per configuration and hyperparameter (``kind`` "line") and one per tick of an
        axis ("tick"): ``optimizer``, ``title``, ``configuration`` (a number; null for a tick),
        ``axis`` (the last one is "score"), ``axis_title``, ``place`` on the axis in [0, 1],
        ``label`` (the value as text), ``score``.

    Raises:
        NotAvailableError: The search varies no hyperparameter.
    """
    axes = {axis.name: axis for axis in table.axes}
    if not axes:
        raise NotAvailableError("needs_an_axis", "The search varies no hyperparameter.", ("best",))
    scored = score(table, resample=False)
    ranked_by = table.score
    values = np.concatenate([scores.evaluation for scores in scored])
    worst, best = float(np.nanmin(values)), float(np.nanmax(values))
    pale = float(np.nanquantile(values, _COLOURS_FROM))
    metric = METRICS[metric_of(table)].title
    heading = ranked_by.heading("OOD" if table.has_ood else "val")
    titles = axis_titles(axes) | {_SCORE_AXIS: heading}
    places = {name: _places(axis) for name, axis in axes.items()}
    records: list[Datum] = []
    cut: list[str] = []
    for scores in scored:
        shown = _chosen(scores.evaluation)
        if len(shown) < np.count_nonzero(~np.isnan(scores.evaluation)):
            cut.append(scores.trials.title)
        records += _lines(scores, shown, places, titles, (worst, best), ranked_by)
        records += _ticks(scores, places, titles, (worst, best), ranked_by)
    notes = [
        "one line per configuration, mean over seeds; colours from"
        f" {ranked_by.quantity(ranked_by.oriented(pale))}, which nine in ten reach"
    ]
    if cut:
        notes.append(f"{', '.join(cut)}: {_MAX_LINES} configurations, evenly over their ranks")
    return FigureData(
        name="parallel-coordinates",
        title=f"Configurations and their {ranked_by.name}{of_workload(table)}",
        notes=notes,
        records=records,
        scales=score_scales(table)
        | {
            "low": ranked_by.oriented(worst),
            "high": ranked_by.oriented(best),
            "colours_from": ranked_by.oriented(pale),
            "score_title": metric,
        },
    )


def draw_parallel_coordinates(figure: FigureData, theme: Theme) -> Any:
    """Draw one panel per optimizer, with its own hyperparameters."""
    panels = []
    pale, high = figure.scale("colours_from"), figure.scale("high")
    colour = alt.Color(
        "score:Q",
        title=str(figure.scales["score_title"]),
        scale=alt.Scale(
            domain=[pale, high if high != pale else pale + 0.01 * score_of(figure).sign],
            clamp=True,
            scheme="viridis",
        ),
        legend=alt.Legend(
            format=score_of(figure).axis_format, tickCount=5, orient="bottom", gradientLength=200
        ),
    )
    for title in figure.values("title"):
        names = list(dict.fromkeys(record["axis_title"] for record in figure.where(title=title)))
        own = alt.Chart(RECORDS).transform_filter(alt.datum.title == title)
        x = alt.X(
            "axis_title:N",
            title=None,
            scale=alt.Scale(domain=names, type="point", padding=0.4),
            axis=alt.Axis(labelAngle=0, grid=True, ticks=False, domain=False, labelPadding=10),
        )
        y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
        lines = (
            own.transform_filter("datum.kind == 'line'")
            .mark_line(strokeWidth=1.3, opacity=0.75)
            .encode(x=x, y=y, color=colour, detail="configuration:N")
        )
        ticks = own.transform_filter("datum.kind == 'tick'").encode(x=x, y=y, text="label:N")
        text: dict[str, Any] = {"align": "left", "dx": 5, "fontSize": 9}
        panels.append(
            alt.layer(
                lines,
                ticks.mark_text(**text, stroke=theme.background, strokeWidth=3, strokeJoin="round"),
                ticks.mark_text(**text, color=theme.ink),
            ).properties(title=panel_title(str(title)), width=_STEP * len(names), height=_HEIGHT)
        )
    return alt.concat(*panels, columns=_PANELS_PER_ROW, spacing=30).properties(
        title=titled(figure.title, figure.notes)
    )


def _chosen(evaluation: Floats) -> list[int]:
    """The configurations to draw, worst first so that the best lie on top."""
    order = np.argsort(evaluation, kind="stable")
    order = order[: np.count_nonzero(~np.isnan(evaluation))]
    at = np.linspace(0, len(order) - 1, min(len(order), _MAX_LINES)).round().astype(int)
    return order[at].tolist()  # type: ignore[no-any-return]  # a list of integers


def _lines(
    scores: Scores,
    shown: Sequence[int],
    places: Mapping[str, Mapping[Any, float]],
    titles: Mapping[str, str],
    bounds: tuple[float, float],
    ranked_by: Score,
) -> Iterator[Datum]:
    """The records of the lines of one optimizer; the axis of the score ends at the best one."""
    for at in shown:
        oriented = float(scores.evaluation[at])
        value = ranked_by.oriented(oriented)
        common: Datum = {
            "kind": "line",
            "optimizer": scores.trials.label,
            "title": scores.trials.title,
            "configuration": at,
            "score": value,
        }
        points = {
            name: (places[name][chosen], value_text(chosen))
            for name, chosen in scores.trials.configuration(at).items()
        }
        points[_SCORE_AXIS] = _share(oriented, *bounds), ranked_by.text(value)
        for name, (place, label) in points.items():
            point: Datum = {
                "axis": name,
                "axis_title": titles[name],
                "place": place,
                "label": label,
            }
            yield common | point


def _ticks(
    scores: Scores,
    places: Mapping[str, Mapping[Any, float]],
    titles: Mapping[str, str],
    bounds: tuple[float, float],
    ranked_by: Score,
) -> Iterator[Datum]:
    """The records of the ticks of one optimizer's axes."""
    low, high = bounds
    ends = {0.0: low, 0.5: (low + high) / 2, 1.0: high} if high > low else {0.5: low}
    ticks = {axis.name: _tick_labels(axis, places[axis.name]) for axis in scores.trials.axes}
    ticks[_SCORE_AXIS] = {
        place: ranked_by.text(ranked_by.oriented(value)) for place, value in ends.items()
    }
    for name, labels in ticks.items():
        for place, label in labels.items():
            yield {
                "kind": "tick",
                "optimizer": scores.trials.label,
                "title": scores.trials.title,
                "configuration": None,
                "score": None,
                "axis": name,
                "axis_title": titles[name],
                "place": place,
                "label": label,
            }


def _places(axis: Axis) -> dict[Any, float]:
    """The place of each value of an axis, in [0, 1]."""
    if axis.scale == "ordinal":
        return {value: _share(at, 0, len(axis) - 1) for at, value in enumerate(axis.values)}
    scaled = [_scaled(axis, value) for value in axis.values]
    return {
        value: _share(number, scaled[0], scaled[-1])
        for value, number in zip(axis.values, scaled, strict=True)
    }


def _tick_labels(axis: Axis, places: Mapping[Any, float]) -> dict[float, str]:
    """Labels of an optimizer's own values by place: all of a few, else evenly chosen ones."""
    at = np.linspace(0, len(axis) - 1, min(len(axis), _MAX_TICKS)).round().astype(int).tolist()
    values = [axis.values[index] for index in at]
    return {places[value]: _tick_label(axis, value) for value in values}


def _tick_label(axis: Axis, value: Value) -> str:
    """A value as text; of a range, whose values have many digits, two of them."""
    return value_text(float(f"{value:.2g}") if axis.is_range else value)


def _scaled(axis: Axis, value: Any) -> float:
    """A number on the scale of its axis."""
    return math.log10(value) if axis.scale == "log" else float(value)


def _share(value: float, low: float, high: float) -> float:
    """Place of a value between two ends; in the middle where they are the same."""
    return (value - low) / (high - low) if high > low else 0.5
