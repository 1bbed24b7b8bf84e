"""HTTP transports: send operations, read pages and streams of events, with retries.

``Transport`` blocks, ``AsyncTransport`` is for an event loop; both hold one pool of connections.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

import httpx

from service.client.errors import UnreachableError
from service.client.event_stream import EventParser
from service.client.operations import Operation, PagedOperation
from service.client.retry import RetryPolicy
from service.client.version_check import VersionCheck
from service.events import Event

__all__ = ["AsyncTransport", "Transport"]

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_STREAM_TIMEOUT_SECONDS = 45.0
"""Longest silence of a stream of events: the service sends a heartbeat every 15 s."""
_NO_MORE_EVENTS = httpx.codes.NO_CONTENT


class _Connections(Generic[H]):
    """A pool of connections to one service.

    Args:
        base_url: Address of the service.
        timeout_seconds: Longest silence within one request.
        retry_seconds: Longest time a request is retried.
        headers: Sent with every request.

    Raises:
        UnreachableError: ``base_url`` is not a URL.
    """

    _kind: type[H]
    _http: H

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        retry_seconds: float,
        headers: Mapping[str, str],
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._http = self._kind(**_options(base_url, timeout_seconds, headers))
        self._retries = RetryPolicy(self.base_url, retry_seconds)
        self._versions = VersionCheck(self.base_url)


class Transport(_Connections[httpx.Client]):
    """Blocking connections."""

    _kind = httpx.Client

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, operation: Operation[T]) -> T:
        """The result of an operation.

        Raises:
            UnreachableError: No service answers, or not within the time for retries.
            ProblemError: The service refused the request.
            UnreadableError: This version of the client cannot read the response.
        """
        response = self._exchange(_request(self._http, operation))
        with self._versions.reading(response):
            return operation.read(response.content)

    def pages(self, operation: PagedOperation[T]) -> Iterator[T]:
        """The items of all pages; each page is requested when it is reached."""
        cursor: str | None = None
        while True:
            items, cursor = self.send(operation.page(cursor))
            yield from items
            if cursor is None:
                return

    def events(self, path: str, after: int = 0) -> Generator[Event | None, None, None]:
        """Events after number ``after`` until the stream ends, and None for each heartbeat.

        An interrupted stream is resumed after the last event received; the interruption yields
        None too, so that the caller can check the state and the time.

        Raises:
            UnreachableError: The service stopped answering for longer than the time for retries.
            ProblemError: The service refused the request.
            UnreadableError: This version of the client cannot read an event.
        """
        parser = EventParser(after)
        while True:
            request = _stream_request(self._http, path, parser)
            with closing(self._exchange(request, stream=True)) as response:
                if response.status_code == _NO_MORE_EVENTS:
                    return
                is_new = False
                try:
                    for text in response.iter_text():
                        with self._versions.reading(response):
                            received = list(parser.feed(text))
                        is_new = is_new or any(received)
                        yield from received
                except httpx.TransportError:
                    yield None
            parser.restart()
            self.pause(0.0 if is_new else parser.reconnect_seconds)

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def _exchange(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """Send a request until its response is final."""
        attempts = self._retries.attempts(request)
        while True:
            try:
                response = self._http.send(request, stream=stream)
                if stream and not response.is_success:
                    response.read()
            except httpx.TransportError as error:
                self.pause(attempts.after_error(error))
                continue
            self._versions.compare(response)
            pause_seconds = attempts.after_response(response)
            if pause_seconds is None:
                return response
            self.pause(pause_seconds)


class AsyncTransport(_Connections[httpx.AsyncClient]):
    """Connections for an event loop; ``Transport`` documents the methods."""

    _kind = httpx.AsyncClient

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, operation: Operation[T]) -> T:
        """The result of an operation; raises as ``Transport.send`` does."""
        response = await self._exchange(_request(self._http, operation))
        with self._versions.reading(response):
            return operation.read(response.content)

    async def pages(self, operation: PagedOperation[T]) -> AsyncIterator[T]:
        """The items of all pages; each page is requested when it is reached."""
        cursor: str | None = None
        while True:
            items, cursor = await self.send(operation.page(cursor))
            for item in items:
                yield item
            if cursor is None:
                return

    async def events(self, path: str, after: int = 0) -> AsyncGenerator[Event | None, None]:
        """Events and heartbeats until the stream ends, as ``Transport.events`` yields them."""
        parser = EventParser(after)
        while True:
            request = _stream_request(self._http, path, parser)
            async with aclosing(await self._exchange(request, stream=True)) as response:
                if response.status_code == _NO_MORE_EVENTS:
                    return
                is_new = False
                try:
                    async for text in response.aiter_text():
                        with self._versions.reading(response):
                            received = list(parser.feed(text))
                        is_new = is_new or any(received)
                        for event in received:
                            yield event
                except httpx.TransportError:
                    yield None
            parser.restart()
            await self.pause(0.0 if is_new else parser.reconnect_seconds)

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _exchange(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        """Send a request until its response is final."""
        attempts = self._retries.attempts(request)
        while True:
            try:
                response = await self._http.send(request, stream=stream)
                if stream and not response.is_success:
                    await response.aread()
            except httpx.TransportError as error:
                await self.pause(attempts.after_error(error))
                continue
            self._versions.compare(response)
            pause_seconds = attempts.after_response(response)
            if pause_seconds is None:
                return response
            await self.pause(pause_seconds)


def _options(base_url: str, timeout_seconds: float, headers: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of the httpx client, of either kind."""
    address = base_url.rstrip("/")
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise UnreachableError.invalid_address(base_url) from error
    options = {
        "base_url": address,
        "timeout": timeout_seconds,
        "headers": dict(headers),
        "follow_redirects": True,
    }
    if url.host in _LOOPBACK_HOSTS:
        # A proxy that the environment names for other hosts must not get requests to this machine.
        options["trust_env"] = False
        if url.scheme == "http":  # no certificate to verify; loading the store takes 40 ms
            options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return options


def _request(http: httpx.Client | httpx.AsyncClient, operation: Operation[Any]) -> httpx.Request:
    """The request of an operation."""
    params = {name: value for name, value in operation.params.items() if value is not None}
    return http.build_request(
        operation.method,
        operation.path,
        params=params,
        content=operation.content,
        headers=dict(operation.headers),
    )


def _stream_request(
    http: httpx.Client | httpx.AsyncClient, path: str, parser: EventParser
) -> httpx.Request:
    """The request for the events after those that the parser has read."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if parser.last_id:
        headers["Last-Event-ID"] = parser.last_id
    timeout = httpx.Timeout(**(http.timeout.as_dict() | {"read": _STREAM_TIMEOUT_SECONDS}))
    return http.build_request("GET", path, headers=headers, timeout=timeout)
