"""Layout of a heatmap: panels, rows and cells, shared by the page, the terminal and the drawing.

One layout per metric, one panel per optimizer, one row per value of the vertical axis (the largest
on top), one cell per value of the horizontal one. A renderer only chooses colours and marks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.sensitivity.figures.figure_data import Datum, FigureData, Scalar
from workers.scores import SCORES

__all__ = ["DARK_INK_ABOVE", "HeatmapCell", "HeatmapLayout", "HeatmapPanel", "heatmap_layouts"]

DARK_INK_ABOVE = 0.55
"""Text in a cell is black on shades above this, white on those below."""


@dataclass(frozen=True, slots=True)
class HeatmapCell:
    """One place of the grid of one optimizer.

    Attributes:
        optimizer: Label.
        x: Value on the horizontal axis.
        y: Value on the vertical axis.
        others: Values of the hyperparameters that are not shown, as text; empty without any.
        label: The value as text; "div" where every seed diverged, "–" where none has finished.
        note: Remark on the seeds ("1/3 div", "2/3 seeds", "pruned"); empty without one.
        state: "value", "diverged", "missing", or "absent" where the optimizer's own values leave a
            hole in the common grid.
        shade: Place on the colour scale in [0, 1]; None unless the state is "value".
        is_negative: Whether it shows a negative curvature.
        spread: Standard error and range over seeds, as text; empty with fewer than two.
    """

    optimizer: str
    x: Scalar
    y: Scalar
    others: str = ""
    label: str = "–"
    note: str = ""
    state: str = "missing"
    shade: float | None = None
    is_negative: bool = False
    spread: str = ""

    @property
    def text(self) -> str:
        """Label and note in one line."""
        return f"{self.label} {self.note}".strip()


@dataclass(frozen=True, slots=True)
class HeatmapPanel:
    """The grid of one optimizer.

    Attributes:
        optimizer: Label.
        title: Display name.
        rows: Cells by vertical (largest first), then horizontal value; empty where the optimizer
            lacks one of the axes.
        absence: Why there are no rows; empty if there are.
    """

    optimizer: str
    title: str
    rows: tuple[tuple[HeatmapCell, ...], ...]
    absence: str = ""


@dataclass(frozen=True, slots=True)
class HeatmapLayout:
    """The panels of one metric, which share axes and a colour scale.

    Attributes:
        title: The metric and its split ("Tr(H), OOD").
        low: Dark end of the colour scale; of losses the larger one.
        high: Bright end of the colour scale.
        is_log: Whether the colour scale is logarithmic.
        tick_format: Format of its ticks, in the notation of d3-format.
        x_title: Display name of the horizontal axis.
        y_title: Display name of the vertical axis.
        x_axis: Name of the horizontal axis.
        y_axis: Name of the vertical axis.
        x_values: Columns; numbers rise.
        y_values: Rows; numbers fall.
        panels: One per optimizer.
    """

    title: str
    low: float
    high: float
    is_log: bool
    tick_format: str
    x_title: str
    y_title: str
    x_axis: str
    y_axis: str
    x_values: tuple[Scalar, ...]
    y_values: tuple[Scalar, ...]
    panels: tuple[HeatmapPanel, ...]

    @property
    def cells(self) -> Iterator[HeatmapCell]:
        """Every cell of every panel."""
        return (cell for panel in self.panels for row in panel.rows for cell in row)


def heatmap_layouts(figure: FigureData) -> tuple[HeatmapLayout, ...]:
    """Lay out the heatmaps of a figure, one per metric.

    Args:
        figure: Data from :func:`service.sensitivity.figures.heatmap` (one metric) or ``overview``.
    """
    return tuple(_layout(figure, str(panel)) for panel in figure.values("panel"))


def _layout(figure: FigureData, metric: str) -> HeatmapLayout:
    scales = _scales(figure, metric)
    records = figure.where(panel=metric)
    columns, rows = tuple(scales["x_values"]), tuple(scales["y_values"][::-1])
    cells: dict[tuple[str, Scalar, Scalar], HeatmapCell] = {}
    absences: dict[str, str] = {}
    for record in records:
        if record["state"] == "absent":
            absences[str(record["optimizer"])] = str(record["label"])
        else:
            cells[str(record["optimizer"]), record["x"], record["y"]] = _cell(record)
    titles = {str(record["optimizer"]): str(record["title"]) for record in records}

    def rows_of(optimizer: str) -> tuple[tuple[HeatmapCell, ...], ...]:
        return tuple(
            tuple(
                cells.get((optimizer, x, y), HeatmapCell(optimizer, x, y, label="", state="absent"))
                for x in columns
            )
            for y in rows
        )

    return HeatmapLayout(
        title=metric,
        low=float(scales["low"]),
        high=float(scales["high"]),
        is_log=bool(scales["log"]),
        tick_format=".0e"
        if scales["log"]
        else SCORES["loss" if scales.get("score") == "loss" else "accuracy"].axis_format,
        x_title=str(scales["x_title"]),
        y_title=str(scales["y_title"]),
        x_axis=str(scales["x_axis"]),
        y_axis=str(scales["y_axis"]),
        x_values=columns,
        y_values=rows,
        panels=tuple(
            HeatmapPanel(optimizer, title, (), absences[optimizer])
            if optimizer in absences
            else HeatmapPanel(optimizer, title, rows_of(optimizer))
            for optimizer, title in titles.items()
        ),
    )


def _scales(figure: FigureData, metric: str) -> dict[str, Any]:
    """The scales of one metric; a figure of several metrics names them by metric."""
    prefix = f"{metric}."
    own = {
        name.removeprefix(prefix): value
        for name, value in figure.scales.items()
        if name.startswith(prefix)
    }
    return own or dict(figure.scales)


def _cell(record: Datum) -> HeatmapCell:
    shade = record["shade"]
    return HeatmapCell(
        optimizer=str(record["optimizer"]),
        x=record["x"],
        y=record["y"],
        others=str(record["others"]),
        label=str(record["label"]),
        note=str(record["note"]),
        state=str(record["state"]),
        shade=float(shade or 0) if record["state"] == "value" else None,
        is_negative=bool(record["negative"]),
        spread=str(record["spread"]),
    )
