"""Reads server-sent events (the WHATWG HTML standard's event stream), knowing no network."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Event", "EventParser"]

_RECONNECT_SECONDS = 2.0
_LONGEST_RECONNECT_SECONDS = 30.0


class Event(BaseModel):
    """Something that happened to a sweep.

    Attributes:
        number: Raises from event to event of a sweep.
        kind: ``state``, ``reason``, ``trial``, ``progress``, ``repaired``.
        created_at: When.
        data: What, by kind; ``state`` has ``state``, ``before``, ``reason`` and ``attempt``.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    kind: str
    created_at: datetime
    data: dict[str, Any]


class EventParser:
    """Makes events of lines, and remembers where the stream was.

    Args:
        after: Number of the last event that is known; 0 for none.

    Attributes:
        last_id: Of the last event that came.
        reconnect_seconds: Pause before the next connection that the service asks for.
    """

    def __init__(self, after: int = 0) -> None:
        self.last_id = str(after) if after else ""
        self.reconnect_seconds = _RECONNECT_SECONDS
        self._data: list[str] = []
        self._pending_id = self.last_id

    def feed(self, line: str) -> Event | None:
        """The event that a line ends, if it ends one."""
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._pending_id = value
            case "retry" if value.isascii() and value.isdigit():
                asked = int(value) / 1000
                self.reconnect_seconds = min(asked, _LONGEST_RECONNECT_SECONDS)
        return None

    def restart(self) -> None:
        """Forget the half of an event that an interruption has cut off."""
        self._data.clear()
        self._pending_id = self.last_id

    def _dispatch(self) -> Event | None:
        self.last_id = self._pending_id
        data, self._data = "\n".join(self._data), []
        return Event.model_validate(json.loads(data)) if data else None
