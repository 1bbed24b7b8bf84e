"""Fast and slow readers of one poller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from service.events import EventKind
from service.events.broadcast import Broadcast
from service.events.repository import EventRepository
from service.settings import Settings
from service.states import SweepState
from service.storage import Database, SweepRow
from service.sweeps.lifecycle import transition
from service.sweeps.service import SweepService
from workers.spec import load_spec


def refuse() -> None:
    raise OperationalError("select", None, Exception("the disk is gone"))


def fail() -> None:
    raise ZeroDivisionError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'sasam.db'}")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def sweep_id(database: Database, tmp_path: Path, specification: str) -> str:
    service = SweepService(database, Settings(home=tmp_path))
    return service.submit(load_spec(specification))[0].sweep_id


def append(database: Database, sweep_id: str, count: int) -> None:
    with database.transaction() as session:
        events = [(EventKind.TRIAL, {"key": "k"})] * count
        EventRepository(session).append(sweep_id, *events)


def end(database: Database, sweep_id: str, *, after: int = 0) -> None:
    """End a sweep, after so many events in the same transaction."""
    with database.transaction() as session:
        EventRepository(session).append(sweep_id, *[(EventKind.TRIAL, {"key": "k"})] * after)
        assert transition(session, sweep_id, SweepState.QUEUED, SweepState.CANCELLING)
        assert transition(session, sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)


async def poller_has_seen(broadcast: Broadcast, sweep_id: str, number: int) -> None:
    while broadcast._channels[sweep_id].head < number:
        await asyncio.sleep(0.01)


def forget(database: Database, sweep_id: str) -> None:
    with database.transaction() as session:
        session.execute(delete(SweepRow).where(SweepRow.sweep_id == sweep_id))


@pytest.mark.slow
def test_reader_that_falls_behind_misses_nothing_and_delays_no_other(
    database: Database, sweep_id: str
) -> None:
    total = 1 + 2 * 1_500 + 2

    async def read() -> tuple[list[int], list[int]]:
        broadcast = Broadcast(database)
        slow = broadcast.follow(sweep_id, 0)
        behind = [(await anext(slow)).number]  # it takes one and pauses
        fast: list[int] = []
        async for event in broadcast.follow(sweep_id, 0):
            fast.append(event.number)
            if event.number in {1, 1_501}:
                await asyncio.to_thread(append, database, sweep_id, 1_500)
            elif event.number == 3_001:
                await asyncio.to_thread(end, database, sweep_id)
        behind += [event.number async for event in slow]
        return fast, behind

    fast, behind = asyncio.run(read())
    assert fast == behind == list(range(1, total + 1))


@pytest.mark.slow
def test_stream_continues_to_the_end_when_more_than_a_window_arrives_with_it(
    database: Database, sweep_id: str
) -> None:
    async def read() -> list[int]:
        broadcast, numbers = Broadcast(database), []
        async for event in broadcast.follow(sweep_id, 0):
            numbers.append(event.number)
            if event.number == 1:
                await poller_has_seen(broadcast, sweep_id, 1)
                await asyncio.to_thread(end, database, sweep_id, after=2_500)
        return numbers

    assert asyncio.run(read()) == list(range(1, 1 + 2_500 + 2 + 1))


def test_stream_of_a_sweep_that_was_deleted_ends_for_who_is_behind(
    database: Database, sweep_id: str
) -> None:
    append(database, sweep_id, 700)

    async def read() -> list[int]:
        broadcast = Broadcast(database)
        behind = broadcast.follow(sweep_id, 0)
        numbers = [(await anext(behind)).number]
        await poller_has_seen(broadcast, sweep_id, 701)
        await asyncio.to_thread(forget, database, sweep_id)
        async with asyncio.timeout(30):
            return numbers + [event.number async for event in behind]

    assert asyncio.run(read()) == list(range(1, 501))  # the page that it holds


@pytest.mark.slow
def test_poller_rests_without_readers_and_returns_with_them(
    database: Database, sweep_id: str
) -> None:
    async def read() -> list[str]:
        broadcast = Broadcast(database)
        states = []
        for _ in range(2):
            reader = broadcast.follow(sweep_id, 0)
            states.append(str((await anext(reader)).kind))
            await reader.aclose()
            while any(task.get_name() == "events" for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)
        return states

    assert asyncio.run(read()) == ["state", "state"]


def test_reader_does_not_wait_for_the_next_poll(
    database: Database, sweep_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.events.broadcast._POLL_SECONDS", 600)
    end(database, sweep_id)

    async def read() -> list[int]:
        broadcast = Broadcast(database)
        async with asyncio.timeout(30):
            return [event.number for _ in range(2) async for event in broadcast.follow(sweep_id, 0)]

    assert asyncio.run(read()) == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("fault", [refuse, fail])
def test_poller_continues_after_an_error(
    fault: Callable[[], None],
    database: Database,
    sweep_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fails = [True]

    async def read() -> list[int]:
        broadcast = Broadcast(database)
        news = broadcast._read_updates

        def sometimes(known: dict[str, int]) -> object:
            if fails:
                fails.clear()
                fault()
            return news(known)

        monkeypatch.setattr(broadcast, "_read_updates", sometimes)
        numbers = []
        async for event in broadcast.follow(sweep_id, 0):
            numbers.append(event.number)
            if event.number == 1:
                await asyncio.to_thread(end, database, sweep_id)
        return numbers

    assert asyncio.run(read()) == [1, 2, 3]
    assert "events cannot be read" in caplog.text
