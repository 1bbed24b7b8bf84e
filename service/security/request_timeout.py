"""Request timeout: closes connections whose requests arrive too slowly (slow loris).

uvicorn waits without limit for a request that arrives byte by byte, and a few hundred such
connections use up all that a service accepts.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["REQUEST_SECONDS", "RequestTimeoutProtocol"]

REQUEST_SECONDS = 30.0
"""Longest time from a request's first byte, or a connection's start, to its last byte."""

_INCOMPLETE = frozenset({h11.IDLE, h11.SEND_BODY})


class RequestTimeoutProtocol(H11Protocol):
    """HTTP/1.1 with a timeout for the arrival of each request."""

    request_seconds = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self._start_timeout()

    def data_received(self, data: bytes) -> None:
        """Stop the timeout if the request is complete, else start it."""
        super().data_received(data)
        if self.conn.their_state not in _INCOMPLETE:
            self._stop_timeout()
        elif self._deadline is None:
            self._start_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timeout()
        super().connection_lost(exc)

    def _start_timeout(self) -> None:
        self._deadline = self.loop.call_later(self.request_seconds, self._close)

    def _stop_timeout(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
