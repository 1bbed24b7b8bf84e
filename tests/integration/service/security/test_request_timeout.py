"""Request timeout: a server with a short timeout and slow clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

from service.security.request_timeout import RequestTimeoutProtocol


class Hasty(RequestTimeoutProtocol):
    request_seconds = 0.2


async def application(scope: Any, receive: Callable[[], Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "http":
        if scope["path"] == "/slow":
            await asyncio.sleep(0.5)  # longer than requests may take to arrive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


async def exchange(*parts: bytes, pause_seconds: float = 0.05) -> bytes:
    """Send parts of a request with pauses; return the response until either side closes."""
    config = uvicorn.Config(
        application, http=Hasty, port=0, log_config=None, lifespan="off", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_seconds)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()
        server.should_exit = True
        await serving


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"G",),
        tuple(REQUEST[at : at + 1] for at in range(len(REQUEST) - 1)),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n", b"a", b"b"),
        (REQUEST, b"GET / HT"),
    ],
)
def test_request_that_does_not_end_ends_its_connection(parts: tuple[bytes, ...]) -> None:
    answer = asyncio.run(exchange(*parts))
    assert answer.count(b"200 OK") == (1 if parts and b"Content-Length" in parts[0] else 0) + (
        parts[:1] == (REQUEST,)
    )


def test_request_that_takes_long_to_answer_is_answered() -> None:
    request = b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b"done" in asyncio.run(exchange(request))


def test_connection_stays_open_between_requests() -> None:
    last = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = asyncio.run(exchange(REQUEST, REQUEST, last, pause_seconds=0.15))
    assert answer.count(b"done") == 3
