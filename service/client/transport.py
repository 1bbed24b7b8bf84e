"""Sends what calls describe: over connections that wait, or that are awaited."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

import httpx

from service.client.calls import Call, Listing
from service.client.errors import UnreachableError
from service.client.exchange import Exchanges
from service.client.stream import Event, EventParser

__all__ = ["AsyncTransport", "Transport"]

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)

_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
_SILENT_SECONDS = 45.0
"""Longest silence of a stream of events: the service gives a sign of life every 15 s."""
_OVER = 204


class _Connections(Generic[H]):
    """One service, over one pool of connections.

    Args:
        base_url: Address of the service.
        timeout_seconds: Longest silence within one request.
        patience_seconds: How long a request is repeated.
        headers: Sent with every request.

    Raises:
        UnreachableError: ``base_url`` is no URL.
    """

    _kind: type[H]
    _http: H

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        patience_seconds: float,
        headers: Mapping[str, str],
    ) -> None:
        self.exchanges = Exchanges(base_url.rstrip("/"), patience_seconds)
        self._http = self._kind(**_options(base_url, timeout_seconds, headers))


class Transport(_Connections[httpx.Client]):
    """Connections that wait."""

    _kind = httpx.Client

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """The answer to a call.

        Raises:
            UnreachableError: Nothing answers, or no longer within the patience.
            ProblemError: The service refused.
            UnreadableError: The answer is not what this version expects.
        """
        return self.exchanges.read(call, self._exchange(_request(self._http, call)))

    def pages(self, listing: Listing[T]) -> Iterator[T]:
        """The things that a listing holds."""
        cursor: str | None = None
        while True:
            things, cursor = self.send(listing.page(cursor))
            yield from things
            if cursor is None:
                return

    def events(self, path: str, after: int = 0) -> Generator[Event | None, None, None]:
        """Events behind number ``after`` until the stream is over; None is a sign of life.

        An interrupted stream goes on where it was.

        Raises:
            UnreachableError: The service has gone, and did not come back within the patience.
            ProblemError: It refused.
        """
        parser = EventParser(after)
        while True:
            request = _stream_request(self._http, path, parser)
            with closing(self._exchange(request, stream=True)) as response:
                if response.status_code == _OVER:
                    return
                is_new = False
                try:
                    for line in response.iter_lines():
                        event = parser.feed(line)
                        is_new = is_new or event is not None
                        if event is not None or line.startswith(":"):
                            yield event
                except httpx.TransportError:
                    yield None  # whoever follows may look for himself
            parser.restart()
            self.pause(0.0 if is_new else parser.reconnect_seconds)

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def _exchange(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        attempts = self.exchanges.attempts(request)
        pause_seconds = next(attempts)
        while True:
            self.pause(pause_seconds)
            result: httpx.Response | httpx.TransportError
            try:
                result = self._http.send(request, stream=stream)
                if stream and not result.is_success:
                    result.read()
            except httpx.TransportError as error:
                result = error
            try:
                pause_seconds = attempts.send(result)
            except StopIteration as end:
                answer: httpx.Response = end.value
                return answer


class AsyncTransport(_Connections[httpx.AsyncClient]):
    """Connections that are awaited; ``Transport`` says what the methods do."""

    _kind = httpx.AsyncClient

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """The answer to a call; raises as ``Transport.send`` does."""
        return self.exchanges.read(call, await self._exchange(_request(self._http, call)))

    async def pages(self, listing: Listing[T]) -> AsyncIterator[T]:
        """The things that a listing holds."""
        cursor: str | None = None
        while True:
            things, cursor = await self.send(listing.page(cursor))
            for thing in things:
                yield thing
            if cursor is None:
                return

    async def events(self, path: str, after: int = 0) -> AsyncGenerator[Event | None, None]:
        """Events until the stream is over, as ``Transport.events`` has them."""
        parser = EventParser(after)
        while True:
            request = _stream_request(self._http, path, parser)
            async with aclosing(await self._exchange(request, stream=True)) as response:
                if response.status_code == _OVER:
                    return
                is_new = False
                try:
                    async for line in response.aiter_lines():
                        event = parser.feed(line)
                        is_new = is_new or event is not None
                        if event is not None or line.startswith(":"):
                            yield event
                except httpx.TransportError:
                    yield None
            parser.restart()
            await self.pause(0.0 if is_new else parser.reconnect_seconds)

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _exchange(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        attempts = self.exchanges.attempts(request)
        pause_seconds = next(attempts)
        while True:
            await self.pause(pause_seconds)
            result: httpx.Response | httpx.TransportError
            try:
                result = await self._http.send(request, stream=stream)
                if stream and not result.is_success:
                    await result.aread()
            except httpx.TransportError as error:
                result = error
            try:
                pause_seconds = attempts.send(result)
            except StopIteration as end:
                answer: httpx.Response = end.value
                return answer


def _options(base_url: str, timeout_seconds: float, headers: Mapping[str, str]) -> dict[str, Any]:
    """What both kinds of connections are made with."""
    address = base_url.rstrip("/")
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise UnreachableError.no_address(base_url) from error
    options = {
        "base_url": address,
        "timeout": timeout_seconds,
        "headers": dict(headers),
        "follow_redirects": True,
    }
    if url.host in _THIS_MACHINE:
        # A proxy between this machine and itself is a mistake of the environment.
        options["trust_env"] = False
        if url.scheme == "http":  # no certificates to check, which takes 40 ms to read
            options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return options


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    given = {name: value for name, value in call.params.items() if value is not None}
    return http.build_request(
        call.method, call.path, params=given, content=call.content, headers=dict(call.headers)
    )


def _stream_request(
    http: httpx.Client | httpx.AsyncClient, path: str, parser: EventParser
) -> httpx.Request:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if parser.last_id:
        headers["Last-Event-ID"] = parser.last_id
    timeout = httpx.Timeout(**(http.timeout.as_dict() | {"read": _SILENT_SECONDS}))
    return http.build_request("GET", path, headers=headers, timeout=timeout)
