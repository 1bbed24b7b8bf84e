"""Tables of sweeps, trials, summaries, the catalog and presets for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from service.cli.wording import command_name, duration, progress_words
from workers.hyperparameter_text import axis_titles, value_text
from workers.moments import moment_text
from workers.scores import Score

if TYPE_CHECKING:
    from service.client import CatalogView, PresetView
    from service.sensitivity import SummaryTable
    from service.sweeps.schemas import (
        CurvatureCostView,
        DryRunView,
        SweepDetail,
        SweepView,
    )
    from service.trials.schemas import TrialView
    from workers.catalog import CatalogEntry

__all__ = [
    "catalog_tables",
    "dry_run_table",
    "fields",
    "optimizers_table",
    "presets_table",
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


def table(*columns: str, title: str | None = None) -> Table:
    """Create a plain table of left-aligned columns."""
    made = Table(box=None, title=title, title_justify="left", pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def fields(pairs: Iterable[tuple[str, RenderableType]]) -> Table:
    """Lay out names and values, one pair per line."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value)
    return made


def state_text(state: str) -> Text:
    """Return a state or an outcome in its colour."""
    return Text(state, style=_STATE_STYLES.get(state, ""))


def sweeps_table(sweeps: Sequence[SweepView]) -> Table:
    """Lay out sweeps, one row per sweep."""
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
    """Lay out one sweep, one field per line."""
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
        ("description", sweep.description),
        ("archived", "yes" if sweep.is_archived else ""),
        ("tags", ", ".join(f"{name}={value}" for name, value in sweep.tags.items())),
        ("commands", ", ".join(map(command_name, sweep.commands))),
        ("page", base_url + sweep.links.page),
        ("MLflow", sweep.links.mlflow or ""),
    ]
    return fields((name, value) for name, value in pairs if value)


def dry_run_table(estimate: DryRunView) -> Table:
    """Lay out the estimated cost of a sweep."""
    evaluations, seconds = estimate.gradient_evaluations, estimate.device_seconds
    return fields(
        [
            ("trials", _trials(estimate)),
            ("configurations", _configurations(estimate.configurations)),
            ("gradient evaluations", "unknown" if evaluations is None else f"{evaluations:,}"),
            ("device time", "unknown" if seconds is None else duration(seconds)),
            ("wall clock", _wall_clock(estimate)),
            *((cost.quantity, _curvature_cost(cost)) for cost in estimate.curvature),
            *([("precision", estimate.precision.sentence)] if estimate.precision else []),
        ]
    )


def _wall_clock(estimate: DryRunView) -> str:
    """Estimated time from the start to the end."""
    seconds = estimate.wall_clock_seconds
    if seconds is None:
        return "no estimate yet: no trial of this model and data set has completed here"
    return f"about {duration(seconds)}, as fast as the past trials here"


def _trials(estimate: DryRunView) -> str:
    """Number of trials, of the new ones of an extension, and of those that may be reused."""
    counts = [(estimate.new_trials, "of them new"), (estimate.reusable_trials, "reusable")]
    known = (f", {count:,} {word}" for count, word in counts if count is not None)
    return f"{estimate.trials:,}{''.join(known)}"


def _curvature_cost(cost: CurvatureCostView) -> str:
    """The cost of a quantity of curvature in one trial."""
    parts = [
        f"{count:,} {noun}"
        for count, noun in (
            (cost.gradient_evaluations, "gradients"),
            (cost.forward_passes, "forward passes"),
        )
        if count
    ]
    return f"{cost.measurements:,} x up to {', '.join(parts)} of {cost.images:,} images per trial"


def _configurations(counts: Mapping[str, int]) -> str:
    """Number of configurations of each optimizer, or of all if they have as many."""
    if len(set(counts.values())) == 1:
        (count,) = set(counts.values())
        return f"{count:,} of each optimizer"
    return ", ".join(f"{label} {count:,}" for label, count in counts.items())


def trials_table(trials: Iterable[TrialView], score: Score) -> Table:
    """Lay out trials, one row per trial; accuracies in percent, losses in nats, ‡ as a guess."""
    from service.sensitivity.number_format import score_label  # slow to import

    listed = list(trials)
    titles = axis_titles(
        dict.fromkeys(name for t in listed for name in t.hyperparameters), short=True
    )
    heads = ("seed", "status", "epoch", score.heading("val"), score.heading("OOD"))
    made = table("trial", "optimizer", *titles.values(), *heads)
    for trial in listed:
        values = trial.hyperparameters
        made.add_row(
            trial.key,
            trial.optimizer,
            *(value_text(values[name]) if name in values else "" for name in titles),
            str(trial.seed),
            state_text(trial.status).append(", reused" if trial.reused_from else ""),
            str(trial.epoch),
            *(score_label(trial.metrics.get(n), trial.scores.get(n), score) for n in score.metrics),
        )
    return made


def summary_table(summary: SummaryTable, on: Console) -> RenderableType:
    """Lay out a summary, one row per optimizer; one column if the console is too narrow."""
    heads, rows = summary.columns, summary.rows
    numbers = _numbers(heads, rows, summary.title)
    unbounded = on.options.update_width(sys.maxsize)
    if Measurement.get(on, unbounded, numbers).minimum > on.width:
        transposed = tuple(zip(heads, *rows, strict=True))
        heads, rows = transposed[0], transposed[1:]
        numbers = _numbers(heads, rows, summary.title)
    sentences = [Text(sentence) for sentence in summary.sentences]
    notes = [Text(f"- {note}", style="dim") for note in summary.notes]
    legend = [Text(summary.legend, style="dim"), ""] if summary.legend else [""]
    return Group(numbers, *legend, *sentences, *([""] if sentences else []), *notes)


def catalog_tables(catalog: CatalogView) -> RenderableType:
    """Lay out the catalog, one table each for optimizers, models and data sets."""
    tables: list[RenderableType] = []
    for kind in ("optimizers", "models", "datasets"):
        made = table("name", "title", "summary", title=kind)
        for entry in getattr(catalog, kind):
            made.add_row(entry.name, entry.title, entry.summary)
        tables += [made, ""]
    return Group(*tables, Text(f"corruptions: {', '.join(catalog.corruptions)}"))


def optimizers_table(entries: Iterable[CatalogEntry]) -> Table:
    """Lay out optimizers, one row per optimizer or family."""
    made = table(
        "name",
        "gradients per step",
        "learning rate",
        "weight decay",
        "default rate",
        "default decay",
        "summary",
    )
    facts = (
        "gradient_evaluations_per_step",
        "learning_rate_role",
        "weight_decay",
        "default_learning_rate",
        "default_weight_decay",
    )
    for entry in entries:
        cells = (entry.facts.get(fact, "") for fact in facts)
        shown = [f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in cells]
        name = f"{entry.name}<name>" if entry.name.endswith(":") else entry.name
        made.add_row(name, *shown, entry.summary)
    return made


def presets_table(presets: Iterable[PresetView]) -> Table:
    """Lay out presets, one row per preset; the first comment of each describes it."""
    made = table("preset", "trials", "about")
    for preset in presets:
        first = preset.text.partition("\n")[0]
        made.add_row(preset.name, str(preset.trials), first.removeprefix("#").strip())
    return made


def _numbers(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> Table:
    """Create a table of right-aligned numbers behind a first column; cells are never folded."""
    made = Table(box=None, title=title, title_justify="left", pad_edge=False, header_style="bold")
    for position, head in enumerate(heads):
        made.add_column(head, justify="right" if position else "left")
    for row in rows:
        made.add_row(*(Text(cell, no_wrap=True) for cell in row))
    return made


def _moment(moment: datetime | None) -> str:
    return moment_text(moment) if moment else ""
