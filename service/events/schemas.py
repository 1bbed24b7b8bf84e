"""What the API says of events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.events.repository import EventKind
from service.storage import EventRow

__all__ = ["EventView"]


class EventView(BaseModel):
    """The data of a server-sent event; its name is ``kind``, its id is ``number``."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    number: int
    """Raises from event to event of a sweep; what later ones supersede may be missing."""
    kind: EventKind
    created_at: datetime
    data: dict[str, Any]
    """``state``: ``state``, ``before``, ``reason``, ``attempt``. ``reason``: ``reason``.
    ``trial``: ``key``, ``position``, ``status``, ``epoch``, ``error``, ``attempt``.
    ``progress``: ``epochs``, the last epoch by key of the trials that went on.
    ``repaired``: ``trials``, how many MLflow knows."""

    @classmethod
    def of(cls, row: EventRow) -> EventView:
        """The view of a stored event."""
        return cls(
            number=row.number, kind=EventKind(row.kind), created_at=row.created_at, data=row.data
        )
