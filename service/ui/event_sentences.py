"""Events as sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.events import EventKind
from service.storage import EventRow

__all__ = ["Happening", "happenings"]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event for people.

    Attributes:
        number: Of the event.
        moment: When it was.
        status: State, outcome or kind it is drawn as.
        words: What happened.
        trial: Key of the trial it happened to.
    """

    number: int
    moment: datetime
    status: str
    words: str
    trial: str | None = None


def happenings(events: Iterable[EventRow]) -> list[Happening]:
    """What events tell."""
    return [_happening(event) for event in events]


def _happening(event: EventRow) -> Happening:
    data: dict[str, Any] = event.data
    match event.kind:
        case EventKind.STATE:
            status, words = data["state"], _state(data)
        case EventKind.TRIAL:
            status, words = data["status"], _trial(data)
        case EventKind.REASON:
            status, words = "pending", data["reason"] or "nothing is in its way any more"
        case EventKind.REPAIRED:
            status, words = "resume", f"read {data['trials']:,} trials again from MLflow"
        case _:
            status, words = "running", "running trials went on"
    return Happening(event.number, event.created_at, status, words, data.get("key"))


def _state(data: dict[str, Any]) -> str:
    words = "submitted" if data["before"] is None else f"{data['before']} → {data['state']}"
    driver = f", driver {data['attempt']}" if data["state"] == "running" else ""
    return f"{words}{driver}{': ' + data['reason'] if data['reason'] else ''}"


def _trial(data: dict[str, Any]) -> str:
    if data["status"] == "running":
        again = f" again, driver {data['attempt']}" if data["attempt"] > 1 else ""
        return f"started{again}"
    error = f": {data['error']}" if data["error"] else ""
    return f"{data['status']} in epoch {data['epoch']}{error}"
