"""Heatmaps on the terminal: a number in every cell, with colours if supported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.color import Color
from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from service.sensitivity import FigureData
    from service.sensitivity.figures import HeatmapCell, HeatmapLayout, HeatmapPanel
    from service.sensitivity.figures.figure_data import Scalar

__all__ = ["draw_heatmap"]

_Colour = tuple[int, int, int]

# Five stops of matplotlib's viridis (accuracies) and cividis (curvatures), as in the figures.
_VIRIDIS: tuple[_Colour, ...] = (
    (68, 1, 84),
    (59, 82, 139),
    (33, 145, 140),
    (94, 201, 98),
    (253, 231, 37),
)
_CIVIDIS: tuple[_Colour, ...] = (
    (0, 34, 78),
    (67, 78, 108),
    (125, 124, 120),
    (188, 175, 111),
    (254, 232, 56),
)
_GAP = 3


def draw_heatmap(figure: FigureData, on: Console) -> RenderableType:
    """Draw one panel per optimizer, as many side by side as fit.

    Args:
        figure: Result of ``Sweep.heatmap``.
        on: The console.
    """
    from service.sensitivity import heatmap_layouts

    (layout,) = heatmap_layouts(figure)
    panels = [_panel(panel, layout) for panel in layout.panels]
    width = max(on.measure(panel).maximum for panel in panels)
    per_row = max(1, (on.width + _GAP) // (width + _GAP))
    parts: list[RenderableType] = [Text(figure.title, style="bold")]
    for first in range(0, len(panels), per_row):
        row = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
        row.add_row(*panels[first : first + per_row])
        parts += [row, ""]
    return Group(*parts, *(Text(note, style="dim") for note in figure.notes))


def _panel(panel: HeatmapPanel, layout: HeatmapLayout) -> RenderableType:
    """Draw the panel of one optimizer, with one row and one column per value of the axes."""
    from workers.hyperparameter_text import axis_titles

    if panel.absence:
        return Group(Text(panel.title, style="bold"), Text(f"{panel.absence} ", style="dim"))
    drawn = Table(
        box=None,
        title=panel.title,
        title_style="bold",
        padding=0,
        pad_edge=False,
        collapse_padding=True,
        header_style="dim",
    )
    stops = _CIVIDIS if layout.is_log else _VIRIDIS
    texts = [f" {cell.text} " for row in panel.rows for cell in row]
    columns = list(map(_label, layout.x_values))
    width = max(map(len, [*texts, *(f"{column} " for column in columns)]))
    short = axis_titles((layout.y_axis, layout.x_axis), short=True)
    drawn.add_column(" \\ ".join(short.values()), style="dim", no_wrap=True)
    for column in columns:
        drawn.add_column(column.center(width), no_wrap=True)
    for value, row in zip(layout.y_values, panel.rows, strict=True):
        drawn.add_row(
            f"{_label(value)} ",
            *(Text(cell.text.center(width), _style(cell, stops)) for cell in row),
        )
    return drawn


def _label(value: Scalar) -> str:
    """A value of an axis as text."""
    from workers.hyperparameter_text import value_text

    return value_text(value)


def _style(cell: HeatmapCell, stops: Sequence[_Colour]) -> Style:
    """Return the colour of a cell and of readable text on it."""
    from service.sensitivity.figures.heatmap_layout import DARK_INK_ABOVE

    if cell.shade is None:
        return Style(dim=True)
    if cell.is_negative:
        return Style(color="red", bold=True)
    ink = "black" if cell.shade > DARK_INK_ABOVE else "white"
    return Style(color=ink, bgcolor=Color.from_rgb(*_mix(cell.shade, stops)))


def _mix(shade: float, stops: Sequence[_Colour]) -> tuple[float, float, float]:
    """Interpolate the colour at ``shade`` in [0, 1] between equally spaced stops."""
    position = shade * (len(stops) - 1)
    index = min(int(position), len(stops) - 2)
    weight = position - index
    red, green, blue = (
        (1 - weight) * low + weight * high
        for low, high in zip(stops[index], stops[index + 1], strict=True)
    )
    return red, green, blue
