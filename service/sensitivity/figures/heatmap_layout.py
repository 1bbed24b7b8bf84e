"""Layout of a heatmap: panels, rows and cells, shared by the page, the terminal and the drawing.

One layout per metric, one panel per optimizer, one row per weight decay (the largest on top), one
cell per learning rate. A renderer only chooses colours and marks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.sensitivity.figures.figure_data import Datum, FigureData

__all__ = ["DARK_INK_ABOVE", "HeatmapCell", "HeatmapLayout", "HeatmapPanel", "heatmap_layouts"]

DARK_INK_ABOVE = 0.55
"""Text in a cell is black on shades above this, white on those below."""


@dataclass(frozen=True, slots=True)
class HeatmapCell:
    """One configuration of one optimizer.

    Attributes:
        optimizer: Label.
        learning_rate: Of the configuration.
        weight_decay: Of the configuration.
        label: The value as text; "div" where every seed diverged, "–" where none has finished.
        note: Remark on the seeds ("1/3 div", "2/3 seeds", "pruned"); empty without one.
        state: "value", "diverged" or "missing".
        shade: Place on the colour scale in [0, 1]; None unless the state is "value".
        is_negative: Whether it shows a negative curvature.
    """

    optimizer: str
    learning_rate: float
    weight_decay: float
    label: str = "–"
    note: str = ""
    state: str = "missing"
    shade: float | None = None
    is_negative: bool = False

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
        rows: Cells by weight decay (largest first), then learning rate.
    """

    optimizer: str
    title: str
    rows: tuple[tuple[HeatmapCell, ...], ...]


@dataclass(frozen=True, slots=True)
class HeatmapLayout:
    """The panels of one metric, which share axes and a colour scale.

    Attributes:
        title: The metric and its split ("Tr(H), OOD").
        low: Lower end of the colour scale.
        high: Upper end of the colour scale.
        is_log: Whether the colour scale is logarithmic.
        learning_rates: Columns, rising.
        weight_decays: Rows, falling.
        panels: One per optimizer.
    """

    title: str
    low: float
    high: float
    is_log: bool
    learning_rates: tuple[float, ...]
    weight_decays: tuple[float, ...]
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
    rates, decays = tuple(scales["learning_rates"]), tuple(scales["weight_decays"][::-1])
    cells = {
        (cell.optimizer, cell.weight_decay, cell.learning_rate): cell
        for cell in map(_cell, records)
    }
    titles = {str(record["optimizer"]): str(record["title"]) for record in records}
    return HeatmapLayout(
        title=metric,
        low=float(scales["low"]),
        high=float(scales["high"]),
        is_log=bool(scales["log"]),
        learning_rates=rates,
        weight_decays=decays,
        panels=tuple(
            HeatmapPanel(
                optimizer,
                title,
                tuple(tuple(cells[optimizer, decay, rate] for rate in rates) for decay in decays),
            )
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
        learning_rate=float(record["learning_rate"] or 0),
        weight_decay=float(record["weight_decay"] or 0),
        label=str(record["label"]),
        note=str(record["note"]),
        state=str(record["state"]),
        shade=float(shade or 0) if record["state"] == "value" else None,
        is_negative=bool(record["negative"]),
    )
