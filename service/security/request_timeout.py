"""Ends connections that take too long to say what they want (slow loris).

uvicorn waits for ever for a request that arrives byte by byte; a few hundred such connections are
all that a service has.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["REQUEST_SECONDS", "ImpatientProtocol"]

REQUEST_SECONDS = 30.0
"""Longest time from a request's first byte, or a connection's start, to its last byte."""

_INCOMPLETE = frozenset({h11.IDLE, h11.SEND_BODY})


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 with an end to a request's arrival."""

    request_seconds = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request, if there is one."""
        super().data_received(data)
        if self.conn.their_state not in _INCOMPLETE:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.request_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
