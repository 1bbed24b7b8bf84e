"""Events of sweeps, on each database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from sqlalchemy import event

from service.events import EventKind
from service.events.repository import EventRepository
from service.settings import Settings
from service.states import SweepState
from service.storage import Database, SweepRow
from service.sweeps.lifecycle import transition
from service.sweeps.repository import SweepRepository
from service.sweeps.service import SweepService
from workers.spec import SweepSpec

SPECIFICATION = SweepSpec.model_validate(
    {
        "name": "digits",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam"],
        "search": {"learning_rate": [0.1], "weight_decay": [0.0]},
    }
)


@pytest.fixture
def sweep_id(database: Database, tmp_path: Path) -> str:
    """A queued sweep, which has one event."""
    sweep, _ = SweepService(database, Settings(home=tmp_path)).submit(SPECIFICATION)
    return sweep.sweep_id


def append(database: Database, sweep_id: str, *events: tuple[EventKind, dict[str, object]]) -> None:
    with database.transaction() as session:
        EventRepository(session).append(sweep_id, *events)


def numbers(database: Database, sweep_id: str, after: int = 0, limit: int = 10_000) -> list[int]:
    with database.snapshot() as session:
        events = EventRepository(session).after(sweep_id, after, limit=limit)
        return [event.number for event in events]


def test_transition_appends_its_event_in_the_same_transaction(
    database: Database, sweep_id: str
) -> None:
    with database.transaction() as session:
        changed = transition(
            session, sweep_id, SweepState.QUEUED, SweepState.STARTING, attempt=1, reason="why"
        )
        assert changed
        assert not transition(session, sweep_id, SweepState.QUEUED, SweepState.STARTING)
    with database.snapshot() as session:
        first, second = EventRepository(session).after(sweep_id, 0, limit=10)
        assert (first.number, first.data["state"], first.data["before"]) == (1, "queued", None)
        assert (second.number, second.kind) == (2, "state")
        assert second.data == {
            "state": "starting",
            "before": "queued",
            "reason": "why",
            "attempt": 1,
        }
        assert second.created_at.tzinfo is not None


def test_rolled_back_change_makes_no_event(database: Database, sweep_id: str) -> None:
    with database.transaction() as session:
        assert transition(session, sweep_id, SweepState.QUEUED, SweepState.PAUSED)
        session.rollback()
    assert numbers(database, sweep_id) == [1]
    append(database, sweep_id, (EventKind.REASON, {"reason": None}))
    assert numbers(database, sweep_id) == [1, 2]


def test_many_writers_number_without_gaps(database: Database, sweep_id: str) -> None:
    barrier = Barrier(8)

    def write() -> None:
        barrier.wait()
        for _ in range(5):
            append(database, sweep_id, *[(EventKind.TRIAL, {"key": "k"})] * 2)

    threads = [Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(database, sweep_id) == list(range(1, 82))
    with database.snapshot() as session:
        assert EventRepository(session).heads([sweep_id, "0"]) == {sweep_id: (81, "queued")}


def test_reader_that_resumes_never_misses_an_event_committed_late(
    database: Database, sweep_id: str
) -> None:
    is_open, may_commit = Event(), Event()

    def write_slowly() -> None:
        with database.transaction() as session:
            EventRepository(session).append(sweep_id, (EventKind.TRIAL, {"slow": True}))
            is_open.set()
            may_commit.wait(30)

    def write_quickly() -> None:
        append(database, sweep_id, (EventKind.TRIAL, {"slow": False}))

    slow, quick = Thread(target=write_slowly), Thread(target=write_quickly)
    slow.start()
    assert is_open.wait(30)
    quick.start()
    assert numbers(database, sweep_id) == [1]  # the second writer waits for the first
    may_commit.set()
    slow.join()
    quick.join()
    with database.snapshot() as session:
        second, third = EventRepository(session).after(sweep_id, 1, limit=10)
        assert (second.data, third.data) == ({"slow": True}, {"slow": False})


def test_superseded_events_are_dropped_and_lasting_ones_stay(
    database: Database, sweep_id: str
) -> None:
    append(database, sweep_id, (EventKind.TRIAL, {"key": "first"}))
    for _ in range(30):
        append(database, sweep_id, *[(EventKind.PROGRESS, {"epochs": {}})] * 100)
    kept = numbers(database, sweep_id)
    assert kept[:2] == [1, 2]
    assert kept[2:] == list(range(kept[2], 3003))
    assert 1_000 <= len(kept[2:]) <= 1_100
    assert numbers(database, sweep_id, after=3_000, limit=1) == [3_001]


def test_old_sweeps_keep_their_last_event_and_others_all(
    database: Database, sweep_id: str, tmp_path: Path
) -> None:
    live, _ = SweepService(database, Settings(home=tmp_path)).submit(SPECIFICATION)
    append(database, live.sweep_id, (EventKind.TRIAL, {}))
    with database.transaction() as session:
        assert transition(session, sweep_id, SweepState.QUEUED, SweepState.CANCELLING)
        assert transition(session, sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)
    now = datetime.now(UTC)
    for before, kept in ((now - timedelta(days=1), [1, 2, 3]), (now + timedelta(days=1), [3])):
        with database.transaction() as session:
            EventRepository(session).forget_ended(before)
        assert numbers(database, sweep_id) == kept
        assert numbers(database, live.sweep_id) == [1, 2]


def test_forgetting_reads_no_events_of_sweeps_that_live(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sasam.db'}")
    database.migrate()
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _u: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.transaction() as session:
        EventRepository(session).forget_ended(datetime.now(UTC))
    statement, parameters = next(noted for noted in statements if "DELETE" in noted[0])
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"explain query plan {statement}", parameters).all()
    database.close()
    steps = [row.detail for row in plan]
    assert "SEARCH events USING" in steps[0]
    assert not any("SCAN events" in step for step in steps)


def test_events_go_with_their_sweep(database: Database, sweep_id: str) -> None:
    with database.transaction() as session:
        assert transition(session, sweep_id, SweepState.QUEUED, SweepState.CANCELLING)
        assert transition(session, sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)
        assert SweepRepository(session).remove(sweep_id)
        EventRepository(session).append(sweep_id, (EventKind.TRIAL, {}))
    assert numbers(database, sweep_id) == []
    with database.snapshot() as session:
        assert session.get(SweepRow, sweep_id) is None
