"""Strange requests to every route: whatever the caller sends is at most the caller's mistake.

``make fuzz`` sends more of them than the tests do, or others.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import anyio
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from service.security.access import Role
from tests.support.guarded_site import Site, open_site, settings_for

from .strange_requests import Generator, StrangeRequest

REQUESTS = int(os.environ.get("SASAM_FUZZ_REQUESTS", "300"))
SEED = int(os.environ.get("SASAM_FUZZ_SEED", "0"))
_AWAY = 503
_AT_ONCE = 200
_SECONDS = 20


async def ask(app: Any, request: StrangeRequest) -> tuple[int, bytes]:
    """Hand a request to the application as a server would; status and beginning of the answer."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(request.path).decode(errors="replace"),
        "raw_path": request.path,
        "query_string": request.query,
        "root_path": "",
        "headers": request.headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    waiting = [
        {"type": "http.request", "body": part, "more_body": number < len(request.body)}
        for number, part in enumerate(request.body, start=1)
    ] or [{"type": "http.request", "body": b"", "more_body": False}]
    answered = anyio.Event()
    status = 0
    content = bytearray()

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            is_stream = any(
                name == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message["headers"]
            )
            if is_stream:  # it has no end: the caller leaves
                answered.set()
        else:
            content.extend(message.get("body", b"")[:4096])
            if not message.get("more_body", False):
                answered.set()

    with anyio.fail_after(_SECONDS):
        await app(scope, receive, send)
    return status, bytes(content)


def answer(site: Site, request: StrangeRequest) -> tuple[int, bytes]:
    """Ask on the application's own event loop."""
    portal = site.client.portal
    assert portal is not None
    status, content = portal.call(ask, site.client.app, request)
    return status, content


def routes_of(app: Any) -> list[tuple[str, str]]:
    """Method and template of every path, pages and static files included."""
    found = []
    for context in iter_route_contexts(app.routes):
        is_mount = isinstance(context.original_route, Mount)
        path = f"{context.path}/{{file}}" if is_mount else str(context.path_format or context.path)
        found += [(method, path) for method in sorted(context.methods or {"GET"})]
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def strange_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """An application of its own, on each database."""
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
    with open_site(settings_for(tmp_path, database_url=url)) as opened:
        yield opened


def test_strange_requests_are_refused_and_nothing_fails(
    strange_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site = strange_site
    app: Any = site.client.app
    bearers = [f"Bearer {site.tokens[role]}".encode() for role in Role]
    faults: Counter[str] = Counter()
    examples: dict[str, StrangeRequest] = {}
    statuses: Counter[int] = Counter()
    generator = Generator(SEED, routes_of(app), [], bearers)
    for number in range(REQUESTS):
        if number % _AT_ONCE == 0:  # some were deleted, or have ended
            caplog.clear()
            generator = Generator(
                SEED * 1_000_003 + number,
                routes_of(app),
                [site.submit(), site.submit(ended=True)],
                bearers,
            )
        request = generator.request()
        fault = None
        try:
            status, content = answer(site, request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind, words = type(error).__name__, re.sub(r"[\d']+", "#", str(error))[:120]
            fault = f"{kind}: {words} at {place.filename}:{place.lineno}"
        else:
            statuses[status] += 1
            is_database = b"the database does not answer" in content
            if status >= 500 and (status != _AWAY or is_database):
                fault = f"{status} {content[:300]!r}"
        for record in caplog.records:
            if record.exc_info or record.levelno >= logging.ERROR:
                fault = fault or f"logged: {record.getMessage()[:200]}"
        caplog.clear()
        if fault:
            faults[fault] += 1
            examples.setdefault(fault, request)
    found = "\n".join(f"{n} x {fault}\n    {examples[fault]}"[:1000] for fault, n in faults.items())
    logging.getLogger(__name__).info("%d requests: %s", REQUESTS, dict(sorted(statuses.items())))
    assert not faults, found
    assert min(statuses[200], statuses[401], statuses[404], statuses[422]) > REQUESTS / 100


@pytest.mark.parametrize("query", [b"q=\xff", b"q=\xc3\xa9", b"\xed\xa0\x80"])
@pytest.mark.parametrize("path", [b"/login", b"/", b"/api/v1/sweeps"])
def test_query_that_is_not_ascii_is_refused(site: Site, path: bytes, query: bytes) -> None:
    request = StrangeRequest("GET", path, query, headers=[(b"host", b"localhost")])
    status, content = answer(site, request)
    assert (status, b"not ASCII; escape them" in content) == (422, True), content
