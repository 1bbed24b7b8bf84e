"""Schemas of events, of the API and of the client."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:  # the client imports this module without a database
    from service.storage import EventRow

__all__ = ["Event", "EventKind", "EventView"]


class EventKind(StrEnum):
    """The kind of an event."""

    STATE = "state"
    """The sweep changed its state."""
    REASON = "reason"
    """The sweep waits for something else, or no longer waits."""
    TRIAL = "trial"
    """A trial started or ended."""
    PROGRESS = "progress"
    """Running trials completed epochs."""
    EXTENDED = "extended"
    """More trials were added to the sweep."""
    REPAIRED = "repaired"
    """All trials were rebuilt from MLflow."""


class Event(BaseModel):
    """An event as clients read it; a newer service may send kinds that the client does not know."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    number: int
    """Increases from event to event of a sweep; superseded events may be missing."""
    kind: str
    created_at: datetime
    data: dict[str, Any]
    """``state``: ``state``, ``before``, ``reason``, ``attempt``. ``reason``: ``reason``.
    ``trial``: ``key``, ``position``, ``status``, ``epoch``, ``error``, ``attempt``.
    ``progress``: ``epochs``, the last epoch by key of the trials that completed epochs.
    ``extended``: ``trials``, the number of all trials, and ``added``, that of the new ones.
    ``repaired``: ``trials``, the number of trials that MLflow has."""


class EventView(Event):
    """The data of a server-sent event; its name is ``kind``, its id is ``number``."""

    kind: EventKind

    @classmethod
    def of(cls, row: EventRow) -> EventView:
        """The view of a stored event."""
        return cls(
            number=row.number, kind=EventKind(row.kind), created_at=row.created_at, data=row.data
        )
