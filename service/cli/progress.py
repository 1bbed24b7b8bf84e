"""Progress of a sweep: a live bar and table on a terminal, periodic lines in a log."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from service.cli.tables import state_text, table
from service.cli.wording import ended_trials, progress_words
from service.states import SweepState
from workers.moments import clock_text
from workers.scores import SCORES, Score

if TYPE_CHECKING:
    from service.client import Sweep
    from service.sweeps.schemas import SweepDetail
    from service.trials.schemas import TrialView

__all__ = ["follow"]

_POLL_SECONDS = 1.0
_LINE_SECONDS = 5.0
_UNCHANGED_LINE_SECONDS = 60.0
# The table by optimizer lists all trials; for more than this, the load on the service is too high.
_MAX_LISTED_TRIALS = 1_000
_LISTING_SECONDS = 3.0
_BAR_COLUMNS = 40
_NARROW_COLUMNS = 60


def follow(
    sweep: Sweep, on: Console, *, exit_on_pause: bool = False, poll_seconds: float = _POLL_SECONDS
) -> SweepDetail:
    """Show a sweep until it has ended.

    Args:
        sweep: The sweep.
        on: The console.
        exit_on_pause: Also return when the sweep is paused.
        poll_seconds: Minimum time between two requests.

    Returns:
        The sweep as it ended, or as it was paused.
    """
    report: _Report = _LiveReport(on, sweep) if on.is_terminal else _LineReport(on)
    with report, closing(sweep.follow(poll_seconds=poll_seconds)) as details:
        for detail in details:
            report.update(detail)
            if exit_on_pause and detail.state is SweepState.PAUSED:
                break
    return sweep.detail


class _Report(Protocol):
    """Shows successive states of a sweep."""

    def update(self, detail: SweepDetail) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class _LineReport:
    """Prints a line when the state changes, and otherwise at most one every few seconds."""

    def __init__(self, on: Console) -> None:
        self._on = on
        self._shown: SweepDetail | None = None
        self._shown_at = 0.0

    def update(self, detail: SweepDetail) -> None:
        """Print a line if one is due."""
        now, shown = time.monotonic(), self._shown
        elapsed_seconds = now - self._shown_at
        if shown is None or (detail.state, detail.reason) != (shown.state, shown.reason):
            is_due = True
        else:
            has_changed = detail.progress.ended != shown.progress.ended
            is_due = elapsed_seconds >= (_LINE_SECONDS if has_changed else _UNCHANGED_LINE_SECONDS)
        if is_due:
            # In one write, so that no other output can interrupt the line.
            self._on.print(Text(_line(detail)), soft_wrap=True)
            self._shown, self._shown_at = detail, now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: every line is already complete."""


class _LiveReport:
    """Redraws a progress bar and a table by optimizer in place."""

    def __init__(self, on: Console, sweep: Sweep) -> None:
        self._sweep = sweep
        self._live = Live(console=on, auto_refresh=False)
        self._trials: Sequence[TrialView] = ()
        self._listed_at = -_LISTING_SECONDS

    def update(self, detail: SweepDetail) -> None:
        """Redraw."""
        now = time.monotonic()
        is_due = now - self._listed_at >= _LISTING_SECONDS or detail.ended_at is not None
        if is_due and detail.progress.total <= _MAX_LISTED_TRIALS:
            self._trials, self._listed_at = list(self._sweep.trials()), now
        self._live.update(_view(detail, self._trials, self._live.console.width), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop redrawing; the last state remains visible."""
        self._live.stop()


def _line(detail: SweepDetail) -> str:
    """Format a sweep as one line of a log."""
    progress = detail.progress
    return (
        f"{clock_text(datetime.now(UTC))} {detail.name} {detail.sweep_id} {detail.state}"
        f"{_reason(detail)}: {ended_trials(progress)} ({_percent(detail)} %), "
        f"{progress_words(progress)}"
    )


def _reason(detail: SweepDetail) -> str:
    """Return the reason for the state and, if paused, the command that resumes the sweep."""
    reasons = [detail.reason] if detail.reason else []
    if detail.state is SweepState.PAUSED:
        reasons.append(f"`sasam resume {detail.sweep_id}` continues it")
    return f" ({'; '.join(reasons)})" if reasons else ""


def _view(detail: SweepDetail, trials: Sequence[TrialView], columns: int) -> RenderableType:
    """Lay out a sweep for a terminal."""
    progress = detail.progress
    head = Text.assemble((detail.name, "bold"), " ", detail.sweep_id, " ", state_text(detail.state))
    head.append(_reason(detail))
    done = f"{ended_trials(progress)} {_percent(detail)} %"
    bar = Table.grid(padding=(0, 1))
    width = max(1, min(_BAR_COLUMNS, columns - len(done) - 2))
    bar.add_row(
        ProgressBar(total=max(progress.total, 1), completed=progress.ended, width=width), done
    )
    parts: list[RenderableType] = [head, bar, Text(progress_words(progress), style="dim")]
    if trials:
        score = SCORES[detail.score]
        parts.append(_by_optimizer(trials, score, is_narrow=columns < _NARROW_COLUMNS))
    return Group(*parts)


def _by_optimizer(trials: Sequence[TrialView], score: Score, *, is_narrow: bool) -> Table:
    """Lay out the progress of each optimizer and its best validation score so far."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    best: dict[str, float] = {}
    for trial in trials:
        counts[trial.optimizer][trial.status] += 1
        value = trial.scores.get(score.val_metric)
        if trial.status == "completed" and value is not None:
            best[trial.optimizer] = max(value, best.get(trial.optimizer, value), key=score.oriented)
    statuses = () if is_narrow else ("running", "diverged", "failed")
    made = table("optimizer", "done", *statuses, f"best {score.heading('val')}")
    for name, count in counts.items():
        unended = count["running"] + count["pending"]
        made.add_row(
            name,
            f"{count.total() - unended}/{count.total()}",
            *(str(count[status]) for status in statuses),
            score.text(best[name]) if name in best else "",
        )
    return made


def _percent(detail: SweepDetail) -> int:
    """Return the percentage of ended trials, rounded down: 100 only if all have ended."""
    return 100 * detail.progress.ended // max(detail.progress.total, 1)
