"""Axes, lines and panel titles that several figures share."""

from typing import Any

import altair as alt

from service.sensitivity.figures.figure_data import FigureData
from service.sensitivity.figures.theme import RECORDS, Theme

__all__ = ["PANEL_HEIGHT", "PANEL_WIDTH", "accuracy_axis", "chance_line", "panel_title"]

PANEL_WIDTH, PANEL_HEIGHT = 300, 220


def accuracy_axis(field: str, *, title: str | None = None) -> alt.Y:
    """A vertical axis of accuracies in percent that need not begin at 0."""
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format="~%"))


def chance_line(figure: FigureData, theme: Theme, scale: Any = alt.Undefined) -> Any:
    """A dashed line at chance accuracy, on the given scale of the vertical axis."""
    line = alt.Chart(RECORDS).mark_rule(strokeDash=[4, 3], color=theme.faint)
    return line.encode(y=alt.YDatum(figure.scale("chance"), scale=scale))


def panel_title(text: str) -> alt.TitleParams:
    """The title of one of several panels."""
    return alt.TitleParams(text, fontSize=12, anchor="middle", offset=8)
