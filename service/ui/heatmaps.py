"""Heatmaps as HTML tables: what is in each cell, its colour step and where its link goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from service.storage import TrialRow
from service.summaries import FigureData, NotAvailableError, SweepSummary
from service.summaries.table import CURVATURE_METRICS
from service.ui.labels import SPLIT_TITLES, optimizer_title
from service.ui.sweep_results import SweepResults
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
        title: For people.
    """

    metric: str
    split: str | None
    title: str

    @property
    def query(self) -> str:
        """The part of an address that chooses it."""
        given = {"metric": self.metric, "split": self.split}
        return urlencode({name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration.

    Attributes:
        label: What is printed in it.
        note: Beneath that, small.
        style: Class names: a step of a scale, or why there is none.
        title: All of it in words.
        query: The part of an address that chooses its trials.
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
    """Panels of one metric on one colour scale."""

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
        Choice(metric, split, f"{METRICS[metric].title}, {SPLIT_TITLES[split]}")
        for metric in CURVATURE_METRICS
        for split in SPLITS
        if (metric, split) in measured
    ]


def heatmaps(
    specification: SweepSpec,
    results: SweepResults,
    choice: Choice,
    running: Iterable[TrialRow],
) -> Heatmaps | None:
    """The heatmap of every optimizer, filled as far as trials have ended.

    Args:
        specification: Of the sweep.
        results: Of the sweep.
        choice: What to show.
        running: Trials that run now; their cells say so.

    Returns:
        None where the search is not a grid.
    """
    search = specification.search
    if search.type != "grid":
        return None
    try:
        figure = results.figure("heatmap", metric=choice.metric, split=choice.split)
    except NotAvailableError:
        figure = None
    cells = _cells(figure, choice) if figure else {}
    busy = Counter((trial.optimizer, trial.learning_rate, trial.weight_decay) for trial in running)
    rates, decays = sorted(search.learning_rate), sorted(search.weight_decay, reverse=True)
    panels = []
    for optimizer in specification.optimizers:
        label = optimizer.label or optimizer.name
        rows = []
        for decay in decays:
            places = [(label, rate, decay) for rate in rates]
            rows.append((decay, [_with_running(cells.get(p), p, busy[p]) for p in places]))
        panels.append(Panel(optimizer_title(label), rows))
    return Heatmaps(choice, rates, panels, figure.notes if figure else [])


def _cells(figure: FigureData, choice: Choice) -> dict[tuple[str, float, float], Cell]:
    scale = "c" if figure.scales["log"] else "v"
    found = {}
    for record in figure.records:
        place = (
            str(record["optimizer"]),
            float(record["learning_rate"] or 0),
            float(record["weight_decay"] or 0),
        )
        state, shade = record["state"], record["shade"]
        if state == "value" and isinstance(shade, float):
            style = f"{scale}{min(int(shade * SHADES), SHADES - 1)}"
        else:
            style = str(state)
        label, note = str(record["label"]), str(record["note"])
        words = {"missing": "no result yet", "diverged": "diverged"}.get(str(state), label)
        found[place] = Cell(
            label=label,
            note=note,
            style=f"{style} negative" if record["negative"] else style,
            title=f"{_place_in_words(place)}: {choice.title} {words} {note}".strip(),
            query=_query(place),
        )
    return found


def _with_running(cell: Cell | None, place: tuple[str, float, float], running: int) -> Cell:
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


def _place_in_words(place: tuple[str, float, float]) -> str:
    return f"{optimizer_title(place[0])}, learning rate {place[1]:g}, weight decay {place[2]:g}"


def _query(place: tuple[str, float, float]) -> str:
    optimizer, rate, decay = place
    return urlencode({"optimizer": optimizer, "learning_rate": rate, "weight_decay": decay})
