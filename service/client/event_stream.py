"""Parser of server-sent events (WHATWG HTML standard, "Server-sent events"), without any network.

The package ``httpx-sse`` does not replace it: it drops comments, which are the heartbeats that a
client with a timeout waits for, and leaves reconnection with ``Last-Event-ID`` to the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.events import Event

__all__ = ["EventParser"]

_RECONNECT_SECONDS = 2.0
_LONGEST_RECONNECT_SECONDS = 30.0
# Not ``str.splitlines``, which also breaks at characters that JSON leaves as they are, such as
# U+2028. A carriage return at the end of the text waits for its line feed.
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")


class EventParser:
    """Converts the text of a stream to events and remembers the position in the stream.

    Args:
        after: Number of the last event that is known; 0 for none.

    Attributes:
        last_id: Id of the last complete event, for ``Last-Event-ID``; empty for none.
        reconnect_seconds: Pause before the next connection, as the service requests it.
    """

    def __init__(self, after: int = 0) -> None:
        self.last_id = str(after) if after else ""
        self.reconnect_seconds = _RECONNECT_SECONDS
        self._incomplete_line = ""
        self._data: list[str] = []
        self._pending_id = self.last_id

    def feed(self, text: str) -> Iterator[Event | None]:
        """The events that a piece of the stream completes, and None for each heartbeat.

        Raises:
            ValueError: The data of an event is not that of an ``Event``.
        """
        *lines, self._incomplete_line = _LINE_END.split(self._incomplete_line + text)
        for line in lines:
            if line.startswith(":"):
                yield None
            elif line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                yield event

    def restart(self) -> None:
        """Discard an event that an interruption left incomplete."""
        self._incomplete_line = ""
        self._data.clear()
        self._pending_id = self.last_id

    def _field(self, line: str) -> None:
        """Take one field of the event that is being read; unknown fields are ignored."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._pending_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.reconnect_seconds = min(int(value) / 1000, _LONGEST_RECONNECT_SECONDS)

    def _dispatch(self) -> Event | None:
        """The event that an empty line completes; None without data."""
        self.last_id = self._pending_id
        data, self._data = "\n".join(self._data), []
        return Event.model_validate_json(data) if data else None
