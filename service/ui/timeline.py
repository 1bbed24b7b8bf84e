"""Events of a sweep as the sentences of a timeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.events import EventKind
from service.storage import EventRow
from service.ui.labels import counted

__all__ = ["TimelineEntry", "timeline"]


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One event as text.

    Attributes:
        number: Number of the event within its sweep.
        created_at: When it happened.
        icon: Name of its icon: a state, an outcome or a command.
        text: The sentence, without the trial.
        trial: Key of the trial it happened to; None for an event of the sweep.
    """

    number: int
    created_at: datetime
    icon: str
    text: str
    trial: str | None = None


def timeline(events: Iterable[EventRow]) -> list[TimelineEntry]:
    """Describe events, in the given order."""
    return [_entry(event) for event in events]


def _entry(event: EventRow) -> TimelineEntry:
    data: dict[str, Any] = event.data
    match event.kind:
        case EventKind.STATE:
            icon, text = data["state"], _state_text(data)
        case EventKind.TRIAL:
            icon, text = data["status"], _trial_text(data)
        case EventKind.REASON:
            icon, text = "pending", data["reason"] or "no longer waiting"
        case EventKind.EXTENDED:
            icon, text = "extend", f"extended by {counted(data['added'], 'trial')}"
        case EventKind.REPAIRED:
            icon, text = "resume", f"{counted(data['trials'], 'trial')} rebuilt from MLflow"
        case _:
            icon, text = "running", "running trials completed epochs"
    return TimelineEntry(event.number, event.created_at, icon, text, data.get("key"))


def _state_text(data: dict[str, Any]) -> str:
    """A change of the sweep's state."""
    text = "submitted" if data["before"] is None else f"{data['before']} → {data['state']}"
    attempt = f", attempt {data['attempt']}" if data["state"] == "running" else ""
    return f"{text}{attempt}{': ' + data['reason'] if data['reason'] else ''}"


def _trial_text(data: dict[str, Any]) -> str:
    """The start or the end of a trial."""
    if data["status"] == "running":
        again = f" again, attempt {data['attempt']}" if data["attempt"] > 1 else ""
        return f"started{again}"
    error = f": {data['error']}" if data["error"] else ""
    return f"{data['status']} in epoch {data['epoch']}{error}"
