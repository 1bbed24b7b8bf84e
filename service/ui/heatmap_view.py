"""What the results on a sweep's page show: metric and axes, from the query of its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from service.sensitivity import Axis, SummaryError
from service.sensitivity.figures.heatmap_plane import REST, Plane, choose_plane
from service.sensitivity.hyperparameters import merge_axes
from service.ui.heatmap_tables import MetricChoice
from service.ui.links import condition_text, query_string
from workers.hyperparameter_text import axis_titles, value_text
from workers.scores import SCORES, score_of_metric

__all__ = [
    "HeatmapView",
    "Name",
    "Selector",
    "axis_selectors",
    "choose_metric",
    "choose_view_plane",
    "colour_span",
    "selectors",
]

_REST_TITLES = {"best": "best by validation", "mean": "mean"}
_ALL_SPANS = {f"{span:g}" for score in SCORES.values() for span in score.spans}

Name = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class HeatmapView:
    """Query parameters that choose what heatmaps show; those that do not exist are ignored."""

    metric: Name = None
    split: Name = None
    x: Name = None
    y: Name = None
    rest: Name = None
    at: Annotated[list[str] | None, Query(max_length=50)] = None
    span: Name = None

    def query(self, choice: MetricChoice | None = None) -> str:
        """The query string of this view, with another metric if given."""
        metric, split = (choice.metric, choice.split) if choice else (self.metric, self.split)
        return query_string(
            metric=metric,
            split=split,
            x=self.x,
            y=self.y,
            rest=self.rest,
            at=self.at,
            span=self.span if self.span in _ALL_SPANS else None,
        )


@dataclass(frozen=True, slots=True)
class Selector:
    """A choice on the page.

    Attributes:
        name: Query parameter.
        label: What it chooses.
        options: Texts by value.
        selected: The chosen value.
    """

    name: str
    label: str
    options: dict[str, str]
    selected: str


def choose_metric(choices: Sequence[MetricChoice], view: HeatmapView) -> MetricChoice:
    """The requested metric if it was measured, else the first choice, the validation score."""
    for choice in choices:
        if choice.metric == view.metric and view.split in (None, choice.split):
            return choice
    return choices[0]


def choose_view_plane(
    axes_by_optimizer: Sequence[Sequence[Axis]], view: HeatmapView
) -> Plane | None:
    """The requested plane; the default one in place of what does not exist.

    Returns:
        None if the search varies fewer than two hyperparameters.
    """
    axes = merge_axes(axis for own in axes_by_optimizer for axis in own)
    if len(axes) < 2:
        return None
    names = {axis.name for axis in axes}
    x, y = (name if name in names else None for name in (view.x, view.y))
    rest = view.rest if view.rest in REST else REST[0]
    plane = choose_plane(axes, x, y if y != x else None, rest, ())
    at = [text for text in view.at or () if _is_valid(axes, plane, text)]
    plane = choose_plane(axes, plane.x.name, plane.y.name, rest, at)
    return plane.narrowed(axes_by_optimizer)


def selectors(
    axes: Sequence[Axis], plane: Plane, view: HeatmapView, choice: MetricChoice
) -> list[Selector]:
    """The choices of axes, of what becomes of the others, and of the colour range of a heatmap."""
    score = score_of_metric(choice.metric)
    if score is None:
        return axis_selectors(axes, plane)
    spans = {"": "from chance"} | {
        f"{span:g}": f"best {score.points(span / score.factor)}" for span in score.spans
    }
    colours = Selector("span", "Colours", spans, colour_span(view, choice) or "")
    return [*axis_selectors(axes, plane), colours]


def colour_span(view: HeatmapView, choice: MetricChoice) -> str | None:
    """The requested width of the colour range if it is offered for the metric; None for all."""
    score = score_of_metric(choice.metric)
    offered = () if score is None else (f"{span:g}" for span in score.spans)
    return view.span if view.span in offered else None


def axis_selectors(axes: Sequence[Axis], plane: Plane) -> list[Selector]:
    """The choices of axes and of what becomes of the others; none where there is no other."""
    if len(axes) < 3:
        return []
    titles = axis_titles(axis.name for axis in axes)
    shown = (plane.x.name, plane.y.name)
    found = [
        Selector("x", "Horizontal", titles, plane.x.name),
        Selector("y", "Vertical", titles, plane.y.name),
        Selector("rest", "Others", _REST_TITLES, plane.rest),
    ]
    for axis in axes:
        if axis.name in shown:
            continue
        values = {condition_text(axis.name, value): value_text(value) for value in axis.values}
        fixed = axis.name in plane.fixed
        selected = condition_text(axis.name, plane.fixed[axis.name]) if fixed else ""
        found.append(Selector("at", titles[axis.name].capitalize(), {"": "any"} | values, selected))
    return found


def _is_valid(axes: Sequence[Axis], plane: Plane, text: str) -> bool:
    """Whether a text fixes an axis that is not shown."""
    try:
        choose_plane(axes, plane.x.name, plane.y.name, plane.rest, (text,))
    except SummaryError:
        return False
    return True
