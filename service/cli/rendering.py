"""What a terminal shows of sweeps, trials and summaries."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from workers.characters import escape_controls
from workers.moments import moment_text

if TYPE_CHECKING:
    from service.client import CatalogView as Catalog
    from service.client import PresetView as Preset
    from service.sensitivity import SummaryTable
    from service.sweeps.schemas import DryRunView, Progress, SweepDetail, SweepView
    from service.trials.schemas import TrialView

__all__ = [
    "catalog_tables",
    "console",
    "dry_run_table",
    "duration",
    "fields",
    "presets_table",
    "progress_words",
    "state_text",
    "summary_table",
    "sweep_table",
    "sweeps_table",
    "table",
    "trials_table",
]

_STATE_STYLES = {
    "running": "cyan",
    "starting": "cyan",
    "completed": "green",
    "failed": "bold red",
    "diverged": "yellow",
    "cancelled": "yellow",
    "paused": "yellow",
}
_PIPE_WIDTH = 160


def console(*, stderr: bool = False, is_wide: bool = False) -> Console:
    """A console; with ``is_wide`` one that is no terminal folds no row of a table."""
    made = _Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if is_wide and not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


class _Console(Console):
    """A console that escapes control characters of what it shows; its own colours stay."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text of a cell, escaped before it is measured."""
        return super().render_str(escape_controls(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """The segments of what is shown."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escape_controls(segment.text), segment.style)


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table with its first column to the left."""
    made = Table(box=None, title=title, title_justify="left", pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def fields(pairs: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names and values, a pair a line."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value)
    return made


def state_text(state: str) -> Text:
    """A state or an outcome in its colour."""
    return Text(state, style=_STATE_STYLES.get(state, ""))


def duration(seconds: float) -> str:
    """Seconds as minutes:seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_words(progress: Progress) -> str:
    """Running, diverged, failed, throughput and time left, as far as there is any."""
    counts = [
        f"{getattr(progress, name)} {name}"
        for name in ("running", "diverged", "pruned", "failed", "cancelled")
        if getattr(progress, name) or name in ("running", "diverged")
    ]
    if progress.trials_per_minute is not None:
        counts.append(f"{progress.trials_per_minute:.1f} trials/min")
    if progress.seconds_left is not None:
        counts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(counts)


def sweeps_table(sweeps: Sequence[SweepView]) -> Table:
    """Sweeps, a row each."""
    made = table("sweep", "name", "state", "trials", "diverged", "failed", "left", "submitted")
    for sweep in sweeps:
        progress = sweep.progress
        left = progress.seconds_left
        made.add_row(
            sweep.sweep_id,
            sweep.name,
            state_text(sweep.state),
            f"{progress.ended}/{progress.total}",
            str(progress.diverged),
            str(progress.failed),
            duration(left) if left is not None else "",
            _moment(sweep.created_at),
        )
    return made


def sweep_table(sweep: SweepDetail, base_url: str) -> Table:
    """One sweep, a field a line."""
    progress = sweep.progress
    pairs: list[tuple[str, RenderableType]] = [
        ("sweep", sweep.sweep_id),
        ("name", sweep.name),
        ("state", state_text(sweep.state)),
        ("reason", sweep.reason or ""),
        ("notes", "\n".join(sweep.notes)),
        ("trials", f"{progress.ended}/{progress.total} ({progress_words(progress)})"),
        ("submitted", _moment(sweep.created_at)),
        ("started", _moment(sweep.started_at)),
        ("ended", _moment(sweep.ended_at)),
        ("creator", sweep.creator or ""),
        ("tags", ", ".join(f"{name}={value}" for name, value in sweep.tags.items())),
        ("commands", ", ".join(sweep.commands)),
        ("page", base_url + sweep.links.page),
        ("MLflow", sweep.links.mlflow or ""),
    ]
    return fields((name, value) for name, value in pairs if value)


def dry_run_table(estimate: DryRunView) -> Table:
    """What a sweep would cost."""
    evaluations, seconds = estimate.gradient_evaluations, estimate.device_seconds
    return fields(
        [
            ("trials", f"{estimate.trials:,}"),
            ("gradient evaluations", "unknown" if evaluations is None else f"{evaluations:,}"),
            ("device time", "unknown" if seconds is None else duration(seconds)),
        ]
    )


def trials_table(trials: Iterable[TrialView]) -> Table:
    """Trials, a row each, accuracies in percent."""
    made = table("trial", "optimizer", "lr", "wd", "seed", "status", "epoch", "val %", "OOD %")
    for trial in trials:
        made.add_row(
            trial.key,
            trial.optimizer,
            f"{trial.learning_rate:g}",
            f"{trial.weight_decay:g}",
            str(trial.seed),
            state_text(trial.status),
            str(trial.epoch),
            _percent(trial.metrics.get("val_accuracy")),
            _percent(trial.metrics.get("ood_accuracy")),
        )
    return made


def summary_table(summary: SummaryTable, on: Console) -> RenderableType:
    """A summary, a row an optimizer; a column where the console is too narrow."""
    heads, rows = summary.columns, summary.rows
    numbers = _numbers(heads, rows, summary.title)
    unbounded = on.options.update_width(sys.maxsize)
    if Measurement.get(on, unbounded, numbers).minimum > on.width:
        turned = tuple(zip(heads, *rows, strict=True))
        heads, rows = turned[0], turned[1:]
        numbers = _numbers(heads, rows, summary.title)
    sentences = [Text(sentence) for sentence in summary.sentences]
    notes = [Text(f"- {note}", style="dim") for note in summary.notes]
    return Group(numbers, "", *sentences, *([""] if sentences else []), *notes)


def catalog_tables(catalog: Catalog) -> RenderableType:
    """What can be swept, a table a kind."""
    tables: list[RenderableType] = []
    for kind in ("optimizers", "models", "datasets"):
        made = table("name", "title", "summary", title=kind)
        for entry in getattr(catalog, kind):
            made.add_row(entry.name, entry.title, entry.summary)
        tables += [made, ""]
    return Group(*tables, Text(f"corruptions: {', '.join(catalog.corruptions)}"))


def presets_table(presets: Iterable[Preset]) -> Table:
    """Specifications to start from; the comment on top says what each is."""
    made = table("preset", "trials", "about")
    for preset in presets:
        first = preset.text.partition("\n")[0]
        made.add_row(preset.name, str(preset.trials), first.removeprefix("#").strip())
    return made


def _numbers(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> Table:
    """A table of numbers, to the right but for the first column; cells are never folded."""
    made = Table(box=None, title=title, title_justify="left", pad_edge=False, header_style="bold")
    for position, head in enumerate(heads):
        made.add_column(head, justify="right" if position else "left")
    for row in rows:
        made.add_row(*(Text(cell, no_wrap=True) for cell in row))
    return made


def _moment(moment: datetime | None) -> str:
    return moment_text(moment) if moment else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
