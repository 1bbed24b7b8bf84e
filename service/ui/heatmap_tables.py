"""Heatmaps as HTML tables: text, colour class and link of each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.sensitivity import FigureData, SweepSummary, heatmap_layouts
from service.sensitivity.figures import HeatmapCell
from service.sensitivity.number_format import split_label
from service.sensitivity.optimizer_trials import CURVATURE_METRICS
from service.storage import TrialRow
from service.ui.labels import optimizer_title
from service.ui.links import configuration_query, query_string
from workers.metrics import METRICS, SPLITS
from workers.spec import SweepSpec

__all__ = [
    "N_SHADES",
    "HeatmapTables",
    "MetricChoice",
    "TableCell",
    "TablePanel",
    "heatmap_tables",
    "metric_choices",
    "shade_class",
]

N_SHADES = 24
"""Steps of each colour scale in ``static/scales.css``."""


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """A metric that the heatmaps can show.

    Attributes:
        metric: Name of the metric.
        split: Split of a curvature; None for an accuracy.
        title: Display name.
    """

    metric: str
    split: str | None
    title: str

    @property
    def query(self) -> str:
        """The query string that selects it."""
        return query_string(metric=self.metric, split=self.split)


@dataclass(frozen=True, slots=True)
class TableCell:
    """The cell of one configuration.

    Attributes:
        label: Its text.
        note: Small text below the label; empty without one.
        css: CSS classes: a step of a colour scale, or the state of a cell without a value.
        description: Configuration and value in words.
        query: The query string that selects its trials.
    """

    label: str
    note: str
    css: str
    description: str
    query: str


@dataclass(frozen=True, slots=True)
class TablePanel:
    """The table of one optimizer: (weight decay, cells by learning rate), largest decay first."""

    title: str
    rows: list[tuple[float, list[TableCell]]]


@dataclass(frozen=True, slots=True)
class HeatmapTables:
    """The tables of one metric, one panel per optimizer."""

    choice: MetricChoice
    learning_rates: Sequence[float]
    panels: list[TablePanel]
    notes: list[str]


def metric_choices(summary: SweepSummary | None) -> list[MetricChoice]:
    """The metrics that were measured; validation accuracy comes first and is always there.

    Args:
        summary: Summary of the sweep; None before a trial has ended.
    """
    accuracies = ["val_accuracy"]
    if summary is not None and summary.evaluation_split == "ood":
        accuracies.append("ood_accuracy")
    measured = {
        (metric, split)
        for optimizer in (summary.optimizers if summary else ())
        for metric in CURVATURE_METRICS
        for split in getattr(optimizer.best_config, metric)
    }
    return [MetricChoice(name, None, METRICS[name].title) for name in accuracies] + [
        MetricChoice(metric, split, f"{METRICS[metric].title}, {split_label(split)}")
        for metric in CURVATURE_METRICS
        for split in SPLITS
        if (metric, split) in measured
    ]


def heatmap_tables(
    specification: SweepSpec,
    figure: FigureData | None,
    choice: MetricChoice,
    running: Iterable[TrialRow],
) -> HeatmapTables | None:
    """The heatmap of every optimizer, filled with the trials that have ended.

    Args:
        specification: Specification of the sweep.
        figure: Data of the figure "heatmap"; None before a trial has ended.
        choice: The metric it shows.
        running: Running trials; their cells are marked.

    Returns:
        The tables; None unless the search is a grid.
    """
    search = specification.search
    if search.type != "grid":
        return None
    layout = heatmap_layouts(figure)[0] if figure else None
    scale = "c" if layout and layout.is_log else "v"
    # The figure has no panel of an optimizer without results; the page shows its grid, too.
    cells = {_place(cell): cell for cell in layout.cells} if layout else {}
    n_running = Counter(
        (trial.optimizer, trial.learning_rate, trial.weight_decay) for trial in running
    )
    rates, decays = sorted(search.learning_rate), sorted(search.weight_decay, reverse=True)

    def row(label: str, decay: float) -> list[TableCell]:
        grid = [HeatmapCell(label, rate, decay) for rate in rates]
        return [
            _cell(cells.get(_place(cell), cell), scale, choice, n_running[_place(cell)])
            for cell in grid
        ]

    panels = [
        TablePanel(optimizer_title(label), [(decay, row(label, decay)) for decay in decays])
        for label in specification.labels
    ]
    return HeatmapTables(choice, rates, panels, figure.notes if figure else [])


def shade_class(scale: str, shade: float) -> str:
    """The CSS class of a place on a colour scale.

    Args:
        scale: "v" (viridis, accuracies) or "c" (cividis, curvatures).
        shade: Place in [0, 1].
    """
    return f"{scale}{min(int(shade * N_SHADES), N_SHADES - 1)}"


def _place(cell: HeatmapCell) -> tuple[str, float, float]:
    return cell.optimizer, cell.learning_rate, cell.weight_decay


def _cell(cell: HeatmapCell, scale: str, choice: MetricChoice, n_running: int) -> TableCell:
    """The cell of a table; a cell with running trials is marked."""
    css = [cell.state if cell.shade is None else shade_class(scale, cell.shade)]
    if cell.is_negative:
        css.append("negative")
    if n_running:
        css.append("busy")
    running = f", {n_running} running" if n_running else ""
    return TableCell(
        label="…" if n_running and cell.state == "missing" else cell.label,
        note=cell.note,
        css=" ".join(css),
        description=f"{_configuration(cell)}: {_value(cell, choice)}{running}",
        query=configuration_query(cell.optimizer, cell.learning_rate, cell.weight_decay),
    )


def _configuration(cell: HeatmapCell) -> str:
    return (
        f"{optimizer_title(cell.optimizer)}, learning rate {cell.learning_rate:g}, "
        f"weight decay {cell.weight_decay:g}"
    )


def _value(cell: HeatmapCell, choice: MetricChoice) -> str:
    """The value of a cell in words."""
    if cell.state == "missing":
        return cell.note or "no result yet"
    if cell.state == "diverged":
        return "diverged"
    return f"{choice.title} {cell.text}"
