"""Wording of commands, counts, durations and progress in tables and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.sweeps.schemas import Progress

__all__ = ["command_name", "count_of", "duration", "ended_trials", "progress_words"]


_COMMAND_NAMES = {"retry-failed": "retry"}


def command_name(command: str) -> str:
    """Return the command line's name for a command of the API, such as "retry-failed"."""
    return _COMMAND_NAMES.get(command, command)


def count_of(count: int, noun: str) -> str:
    """Return a count with its noun: "1 trial", "2 trials"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """Return seconds as minutes:seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ended_trials(progress: Progress) -> str:
    """Return how many trials have ended, of how many: "3/8 trials"."""
    return f"{progress.ended}/{count_of(progress.total, 'trial')}"


def progress_words(progress: Progress) -> str:
    """Return counts of trials, the throughput, and the time left if it is known."""
    counts = [
        f"{getattr(progress, name)} {name}"
        for name in ("running", "diverged", "pruned", "failed", "cancelled")
        if getattr(progress, name) or name in ("running", "diverged")
    ]
    if progress.reused:
        counts.append(f"{progress.reused} of {count_of(progress.total, 'trial')} reused")
    if progress.trials_per_minute is not None:
        counts.append(f"{progress.trials_per_minute:.1f} trials/min")
    if progress.seconds_left is not None:
        counts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(counts)
