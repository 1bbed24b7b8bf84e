"""Axes, lines and panel titles that several figures share."""

from collections.abc import Callable, Iterable
from typing import Any

import altair as alt

from service.sensitivity.figures.figure_data import Datum, FigureData, score_of
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour

__all__ = [
    "PANEL_HEIGHT",
    "PANEL_WIDTH",
    "SHORT_LABEL",
    "banded_lines",
    "chance_line",
    "has_intervals",
    "panel_title",
    "score_axis",
]

PANEL_WIDTH, PANEL_HEIGHT = 300, 220

SHORT_LABEL = (
    "!isNumber(datum.value) ? datum.value :"
    " datum.value && abs(datum.value) < 0.01 ? format(datum.value, '.2~e') :"
    " abs(datum.value) < 1000 ? format(datum.value, '.3~g') : format(datum.value, ',~r')"
)
"""Label of a tick: 1e-3 and 0.01, not 0.00000001 or 1e-2; text as it is."""


def score_axis(figure: FigureData, field: str, *, title: str | None = None) -> alt.Y:
    """A vertical axis of the score of a figure that need not begin at 0: percent, or nats."""
    axis = alt.Axis(format=score_of(figure).axis_format)
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=False), axis=axis)


def chance_line(figure: FigureData, theme: Theme, scale: Any = alt.Undefined) -> Any:
    """A dashed line at the score of a uniform guess, on the given scale of the vertical axis."""
    line = alt.Chart(RECORDS).mark_rule(strokeDash=[4, 3], color=theme.faint)
    return line.encode(y=alt.YDatum(figure.scale("chance"), scale=scale))


def banded_lines(figure: FigureData, x: alt.X, y: Callable[[str], alt.Y]) -> list[Any]:
    """Layers with one line per optimizer, under it the band of its seed intervals.

    Args:
        figure: Records with ``value``, ``low`` and ``high``; the scale ``optimizers`` has titles.
        x: Horizontal axis.
        y: Makes the vertical axis of a field.
    """
    titles: list[str] = [str(title) for title in figure.scales["optimizers"]]  # type: ignore[union-attr]
    colour = optimizer_colour(titles)
    known = alt.Chart(RECORDS).transform_filter("isValid(datum.value)")
    bands = (
        known.transform_filter("isValid(datum.low)")
        .mark_area(opacity=0.18)
        .encode(x=x, y=y("low"), y2="high:Q", color=colour)
    )
    return [
        *([bands] if has_intervals(figure.records) else []),
        known.mark_line(point={"size": 36}, strokeWidth=2).encode(x=x, y=y("value"), color=colour),
    ]


def has_intervals(records: Iterable[Datum]) -> bool:
    """Whether any record has an interval.

    A layer of intervals without any is left out: its fields would be null, and the axis that it
    shares with other layers would have no bounds.
    """
    return any(record["low"] is not None for record in records)


def panel_title(text: str) -> alt.TitleParams:
    """The title of one of several panels."""
    return alt.TitleParams(text, fontSize=12, anchor="middle", offset=8)
