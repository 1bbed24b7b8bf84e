"""Heatmaps as HTML tables: text, colour step and link of each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from service.sensitivity import FigureData, SweepSummary, heatmap_layouts
from service.sensitivity.figures import HeatmapCell, HeatmapLayout
from service.sensitivity.number_format import split_label
from service.sensitivity.optimizer_trials import CURVATURE_METRICS
from service.storage import TrialRow
from service.ui.labels import optimizer_title
from workers.metrics import METRICS, SPLITS
from workers.spec import SweepSpec

__all__ = ["SHADES", "Cell", "Choice", "Heatmaps", "Panel", "choices", "heatmaps"]

SHADES = 24
"""Steps of a colour scale, as in ``static/scales.css``."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A metric that can be shown.

    Attributes:
        metric: Its name.
        split: Of a curvature.
        title: Display name.
    """

    metric: str
    split: str | None
    title: str

    @property
    def query(self) -> str:
        """The query string that selects it."""
        given = {"metric": self.metric, "split": self.split}
        return urlencode({name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration.

    Attributes:
        label: Its text.
        note: Small text below.
        style: CSS classes: a step of a colour scale, or the state without a colour.
        title: Description in words.
        query: The query string that selects its trials.
    """

    label: str
    note: str
    style: str
    title: str
    query: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One optimizer: cells by weight decay (largest first), then learning rate."""

    title: str
    rows: list[tuple[float, list[Cell]]]


@dataclass(frozen=True, slots=True)
class Heatmaps:
    """The panels of one metric."""

    choice: Choice
    learning_rates: list[float]
    panels: list[Panel]
    notes: list[str]


def choices(summary: SweepSummary | None) -> list[Choice]:
    """The metrics that the trials of a summary have."""
    names = ["val_accuracy"]
    if summary is None:
        return [Choice(name, None, METRICS[name].title) for name in names]
    if summary.evaluation_split == "ood":
        names.append("ood_accuracy")
    measured = {
        (metric, split)
        for optimizer in summary.optimizers
        for metric in CURVATURE_METRICS
        for split in getattr(optimizer.best_config, metric)
    }
    return [Choice(name, None, METRICS[name].title) for name in names] + [
        Choice(metric, split, f"{METRICS[metric].title}, {split_label(split)}")
        for metric in CURVATURE_METRICS
        for split in SPLITS
        if (metric, split) in measured
    ]


def heatmaps(
    specification: SweepSpec,
    figure: FigureData | None,
    choice: Choice,
    running: Iterable[TrialRow],
) -> Heatmaps | None:
    """The heatmap of every optimizer, filled as far as trials have ended.

    Args:
        specification: Of the sweep.
        figure: Data of the heatmap; None before a trial has ended.
        choice: The metric.
        running: Trials that run now; their cells are marked.

    Returns:
        None unless the search is a grid.
    """
    search = specification.search
    if search.type != "grid":
        return None
    layout = heatmap_layouts(figure)[0] if figure else None
    cells = _cells(layout, choice) if layout else {}
    busy = Counter((trial.optimizer, trial.learning_rate, trial.weight_decay) for trial in running)
    rates, decays = sorted(search.learning_rate), sorted(search.weight_decay, reverse=True)
    panels = []
    for label in specification.labels:
        rows = []
        for decay in decays:
            places = [(label, rate, decay) for rate in rates]
            rows.append((decay, [_with_running(cells.get(p), p, busy[p]) for p in places]))
        panels.append(Panel(optimizer_title(label), rows))
    return Heatmaps(choice, rates, panels, figure.notes if figure else [])


def _cells(layout: HeatmapLayout, choice: Choice) -> dict[_Place, Cell]:
    """The cells with their styles, by place."""
    scale = "c" if layout.is_log else "v"
    return {_place(cell): _cell(cell, scale, choice) for cell in layout.cells}


def _cell(cell: HeatmapCell, scale: str, choice: Choice) -> Cell:
    """A cell of a table."""
    step = cell.colour_step(SHADES)
    style = cell.state if step is None else f"{scale}{step}"
    words = {"missing": "no result yet", "diverged": "diverged"}.get(cell.state, cell.label)
    place = _place(cell)
    return Cell(
        label=cell.label,
        note=cell.note,
        style=f"{style} negative" if cell.is_negative else style,
        title=f"{_place_in_words(place)}: {choice.title} {words} {cell.note}".strip(),
        query=_query(place),
    )


def _with_running(cell: Cell | None, place: _Place, running: int) -> Cell:
    """A cell marked as running; an empty one where there is none."""
    if cell is None:
        words = f"{_place_in_words(place)}: no result yet"
        cell = Cell("–", "", "missing", words, _query(place))
    if not running:
        return cell
    return Cell(
        cell.label if cell.style != "missing" else "…",
        cell.note,
        f"{cell.style} busy",
        f"{cell.title}, {running} running",
        cell.query,
    )


_Place = tuple[str, float, float]
"""Optimizer, learning rate, weight decay."""


def _place(cell: HeatmapCell) -> _Place:
    return cell.optimizer, cell.learning_rate, cell.weight_decay


def _place_in_words(place: _Place) -> str:
    return f"{optimizer_title(place[0])}, learning rate {place[1]:g}, weight decay {place[2]:g}"


def _query(place: _Place) -> str:
    optimizer, rate, decay = place
    return urlencode({"optimizer": optimizer, "learning_rate": rate, "weight_decay": decay})
