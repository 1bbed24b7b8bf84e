"""Heatmaps as HTML tables: text, colour class and link of each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from service.sensitivity import FigureData, SweepSummary, heatmap_layouts
from service.sensitivity.figures import HeatmapCell
from service.sensitivity.figures.figure_data import Scalar
from service.sensitivity.figures.heatmap_plane import Plane
from service.sensitivity.hyperparameters import value_datum
from service.sensitivity.number_format import curvature_label, split_label
from service.sensitivity.optimizer_trials import CURVATURE_METRICS
from service.storage import TrialRow
from service.summaries.loading import axes_of
from service.ui.labels import optimizer_title
from service.ui.links import configuration_query
from workers.hyperparameter_text import value_text
from workers.metrics import METRICS, SPLITS
from workers.scores import Score, score_of_metric
from workers.spec import SweepSpec
from workers.spec.configuration import freeze_value, thaw_value

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

_NONE: Mapping[str, str] = MappingProxyType({})
_MAX_NUMBERED = 14
"""Columns of a heatmap whose cells have numbers."""
N_SHADES = 24
"""Steps of each colour scale in ``static/scales.css``."""


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """A metric that the heatmaps can show.

    Attributes:
        metric: Name of the metric.
        split: Split of a curvature; None for a score.
        title: Display name.
    """

    metric: str
    split: str | None
    title: str


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
    """The table of one optimizer.

    Attributes:
        title: Display name.
        rows: (Label of the vertical value, cells by horizontal value), the largest value first.
        absence: Why there are no rows; empty if there are.
    """

    title: str
    rows: list[tuple[str, list[TableCell]]]
    absence: str = ""


@dataclass(frozen=True, slots=True)
class HeatmapTables:
    """The tables of one metric, one panel per optimizer.

    Attributes:
        choice: The metric.
        x_title: Display name of the horizontal axis.
        y_title: Display name of the vertical axis.
        columns: Labels of the horizontal values.
        colours: Classes of the steps of the colour scale, lowest first; empty without a value.
        low: Label of its lower end.
        high: Label of its upper end.
        panels: One per optimizer.
        notes: Explanations of the marks.
    """

    choice: MetricChoice
    x_title: str
    y_title: str
    columns: Sequence[str]
    colours: Sequence[str]
    low: str
    high: str
    panels: list[TablePanel]
    notes: list[str]

    @property
    def is_dense(self) -> bool:
        """Whether there are too many columns for numbers in the cells."""
        return len(self.columns) > _MAX_NUMBERED


def metric_choices(summary: SweepSummary | None, score: Score) -> list[MetricChoice]:
    """The metrics that were measured; the validation score comes first and is always there.

    Args:
        summary: Summary of the sweep; None before a trial has ended.
        score: What ranks configurations.
    """
    scores = [score.val_metric]
    if summary is not None and summary.evaluation_split == "ood":
        scores.append(score.ood_metric)
    measured = {
        (metric, split)
        for optimizer in (summary.optimizers if summary else ())
        for metric in CURVATURE_METRICS
        for split in getattr(optimizer.best_config, metric)
    }
    return [MetricChoice(name, None, METRICS[name].title) for name in scores] + [
        MetricChoice(metric, split, f"{METRICS[metric].title}, {split_label(split)}")
        for metric in CURVATURE_METRICS
        for split in SPLITS
        if (metric, split) in measured
    ]


def heatmap_tables(
    specification: SweepSpec,
    plane: Plane,
    figure: FigureData | None,
    choice: MetricChoice,
    running: Iterable[TrialRow],
    absences: Mapping[str, str] = _NONE,
) -> HeatmapTables:
    """The heatmap of every optimizer, filled with the trials that have ended.

    Args:
        specification: Specification of the sweep, a grid.
        plane: What the heatmaps show.
        figure: Data of the figure "heatmap" in this plane; None before a trial has ended.
        choice: The metric it shows.
        running: Running trials; their cells are marked.
        absences: Why an optimizer will have no results, by its label; empty while it may.
    """
    layout = heatmap_layouts(figure)[0] if figure else None
    scale = "c" if layout and layout.is_log else "v"
    # The figure has no panel of an optimizer without results; the page shows its grid, too.
    cells = {(c.optimizer, c.x, c.y): c for c in layout.cells} if layout else {}
    n_running = Counter(
        (trial.optimizer, *place) for trial in running if (place := _place(plane, trial))
    )
    columns = [value_datum(value) for value in plane.x.values]
    rows = [value_datum(value) for value in plane.y.values[::-1]]

    def panel(label: str) -> TablePanel:
        axes = {axis.name: axis for axis in axes_of(specification, label)}
        absence = absences.get(label) or plane.absence(list(axes.values()))
        if absence:
            return TablePanel(optimizer_title(label), [], absence)
        own = {
            name: {value_datum(value) for value in axes[name].values}
            for name in (plane.x.name, plane.y.name)
        }

        def cell(x: Scalar, y: Scalar) -> TableCell:
            is_own = x in own[plane.x.name] and y in own[plane.y.name]
            empty = HeatmapCell(label, x, y) if is_own else HeatmapCell(label, x, y, state="absent")
            found = cells.get((label, x, y), empty)
            return _cell(found, plane, scale, choice, n_running[label, x, y])

        table = [(value_text(y), [cell(x, y) for x in columns]) for y in rows]
        return TablePanel(optimizer_title(label), table)

    return HeatmapTables(
        choice=choice,
        x_title=plane.titles[plane.x.name],
        y_title=plane.titles[plane.y.name],
        columns=list(map(value_text, columns)),
        colours=[f"{scale}{step}" for step in range(N_SHADES)] if layout else (),
        low=_end(choice, layout.low) if layout else "",
        high=_end(choice, layout.high) if layout else "",
        panels=list(map(panel, specification.labels)),
        notes=figure.notes if figure else [],
    )


def _end(choice: MetricChoice, value: float) -> str:
    """Label of an end of the colour scale."""
    score = score_of_metric(choice.metric)
    return curvature_label(value) if score is None else score.quantity(value)


def shade_class(scale: str, shade: float) -> str:
    """The CSS class of a place on a colour scale.

    Args:
        scale: "v" (viridis, scores) or "c" (cividis, curvatures).
        shade: Place in [0, 1].
    """
    return f"{scale}{min(int(shade * N_SHADES), N_SHADES - 1)}"


def _place(plane: Plane, trial: TrialRow) -> tuple[Scalar, Scalar] | None:
    """The cell of a trial; None if the plane does not show it."""
    own = {name: freeze_value(value) for name, value in trial.hyperparameters.items()}
    if any(own.get(name, value) != value for name, value in plane.fixed.items()):
        return None
    if plane.x.name not in own or plane.y.name not in own:
        return None
    return value_datum(own[plane.x.name]), value_datum(own[plane.y.name])


def _cell(
    cell: HeatmapCell, plane: Plane, scale: str, choice: MetricChoice, n_running: int
) -> TableCell:
    """The cell of a table; a cell with running trials is marked."""
    if cell.state == "absent":
        return TableCell("", "", "absent", "", "")
    css = [cell.state if cell.shade is None else shade_class(scale, cell.shade)]
    if cell.is_negative:
        css.append("negative")
    if n_running:
        css.append("busy")
    running = f", {n_running} running" if n_running else ""
    shown = {plane.x.name: cell.x, plane.y.name: cell.y}
    fixed = {name: thaw_value(value) for name, value in plane.fixed.items()}
    words = ", ".join(f"{plane.titles[name]} {value_text(value)}" for name, value in shown.items())
    others = f", {cell.others}" if cell.others else ""
    title = optimizer_title(cell.optimizer)
    return TableCell(
        label="…" if n_running and cell.state == "missing" else cell.label,
        note=cell.note,
        css=" ".join(css),
        description=f"{title}, {words}{others}: {_value(cell, choice)}{running}",
        query=configuration_query(cell.optimizer, shown | fixed),
    )


def _value(cell: HeatmapCell, choice: MetricChoice) -> str:
    """The value of a cell in words."""
    if cell.state == "missing":
        return cell.note or "no result yet"
    if cell.state == "diverged":
        return "diverged"
    return f"{choice.title} {cell.text}" + (f" ({cell.spread})" if cell.spread else "")
