"""Events over HTTP, from a real server."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from service.events import EventKind
from service.events.repository import EventRepository
from service.states import SweepState as S
from tests.support.running_service import Service


@dataclass
class Sweep:
    """A sweep of the running service, which a test moves by hand."""

    service: Service
    sweep_id: str

    @property
    def url(self) -> str:
        return f"{self.service.url}/api/v1/sweeps/{self.sweep_id}/events"

    def tell(self, *trials: str) -> None:
        """Add events of trials."""
        events = [(EventKind.TRIAL, {"key": key}) for key in trials]
        with self.service.database.transaction() as session:
            EventRepository(session).append(self.sweep_id, *events)

    def end(self) -> None:
        """Cancel it: two events more."""
        self.service.move(self.sweep_id, S.QUEUED, S.CANCELLING, S.CANCELLED)

    def read(self, **options: Any) -> list[dict[str, str]]:
        """All that a reader is sent until the stream ends."""
        with httpx.stream("GET", self.url, timeout=30, **options) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            return parse("".join(answer.iter_text()))


def parse(text: str) -> list[dict[str, str]]:
    """The events of a stream as the fields of each."""
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if block]
    fields = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
    return [event for event in fields if "event" in event]


@pytest.fixture
def sweep(service: Service, specification: str) -> Sweep:
    answer = httpx.post(f"{service.url}/api/v1/sweeps", content=specification)
    return Sweep(service, answer.json()["sweep_id"])


def ids(events: list[dict[str, str]]) -> list[int]:
    return [int(event["id"]) for event in events]


def test_stream_has_all_events_and_ends_with_the_sweep(sweep: Sweep) -> None:
    sweep.tell("a", "b")
    sweep.end()
    events = sweep.read()
    assert ids(events) == [1, 2, 3, 4, 5]
    assert [event["event"] for event in events] == ["state", "trial", "trial", "state", "state"]
    last = json.loads(events[-1]["data"])
    assert (last["number"], last["kind"]) == (5, "state")
    assert last["data"]["state"] == "cancelled"
    assert json.loads(events[1]["data"])["data"] == {"key": "a"}


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [("", "2", [3, 4]), ("?after=3", None, [4]), ("?after=1", "3", [4]), ("?after=0", None, None)],
)
def test_stream_is_resumed_behind_what_the_reader_knows(
    query: str, header: str | None, expected: list[int] | None, sweep: Sweep
) -> None:
    sweep.tell("a")
    sweep.end()
    headers = {"Last-Event-ID": header} if header else {}
    with httpx.stream("GET", sweep.url + query, headers=headers) as answer:
        assert ids(parse("".join(answer.iter_text()))) == (expected or [1, 2, 3, 4])


def test_reader_that_knows_the_end_must_not_reconnect(sweep: Sweep) -> None:
    sweep.end()
    answer = httpx.get(f"{sweep.url}?after=3")
    assert (answer.status_code, answer.content) == (204, b"")


def test_sweep_that_begins_again_is_followed_on(sweep: Sweep) -> None:
    sweep.end()
    sweep.service.move(sweep.sweep_id, S.CANCELLED, S.QUEUED, S.CANCELLING, S.CANCELLED)
    assert ids(sweep.read(headers={"Last-Event-ID": "3"})) == [4, 5, 6]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("missing/events", {}, 404),
        ("{id}/events?after=-1", {}, 422),
        ("{id}/events?after=x", {}, 422),
        ("{id}/events", {"Last-Event-ID": "never"}, 422),
        ("{id}/events", {"Last-Event-ID": "99999999999999999999"}, 422),
    ],
)
def test_what_cannot_be_followed_is_a_problem(
    path: str, headers: dict[str, str], status: int, sweep: Sweep
) -> None:
    url = f"{sweep.service.url}/api/v1/sweeps/{path.format(id=sweep.sweep_id)}"
    answer = httpx.get(url, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_stream_ends_when_the_sweep_is_deleted(sweep: Sweep) -> None:
    sweep.end()
    sweep.service.move(sweep.sweep_id, S.CANCELLED, S.QUEUED)
    seen: list[int] = []

    def read() -> None:
        with httpx.stream("GET", sweep.url, timeout=30) as answer:
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    seen.append(int(line[4:]))
                    if seen[-1] == 4:
                        sweep.service.move(sweep.sweep_id, S.QUEUED, S.CANCELLING, S.CANCELLED)
                        httpx.delete(sweep.url.removesuffix("/events"))

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(30)
    assert not reader.is_alive()
    assert seen[:4] == [1, 2, 3, 4]


def test_two_hundred_readers_get_the_same_in_the_same_order(sweep: Sweep) -> None:
    readers = 200
    pool = sweep.service.database.engine.pool

    async def read(client: httpx.AsyncClient, seen: list[int], is_there: asyncio.Event) -> None:
        async with client.stream("GET", sweep.url) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    seen.append(int(line[4:]))
                    is_there.set()

    async def read_all() -> list[list[int]]:
        seen: list[list[int]] = [[] for _ in range(readers)]
        there = [asyncio.Event() for _ in range(readers)]
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            reading = asyncio.gather(*map(read, [client] * readers, seen, there))
            for event in there:
                await event.wait()
            before = threading.active_count()
            for _ in range(3):  # all are there and wait; the service serves others meanwhile
                sweep.tell("a", "b")
                answer = await client.get(f"{sweep.service.url}/healthz")
                assert answer.status_code == 200
                assert pool.checkedout() <= 2  # the poller's, and a request's
            assert threading.active_count() <= before
            await asyncio.to_thread(sweep.end)
            await reading
        return seen

    seen = asyncio.run(read_all())
    assert seen == [list(range(1, 10))] * readers
