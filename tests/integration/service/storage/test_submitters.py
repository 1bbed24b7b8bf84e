"""Concurrent submitters, on each database: keys, limits, creators."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import column as named
from sqlalchemy import insert, inspect, select, table, text

from service.problems import ConflictProblem
from service.security.access import LOCAL, Principal, Role
from service.settings import Settings
from service.states import Command, SweepState
from service.storage import Database, SweepRow
from service.sweeps.lifecycle import transition
from service.sweeps.service import SweepService
from service.sweeps.stored_specifications import specification_hash
from service.trials.repository import TrialRepository
from workers.spec import SpecError, SweepSpec

ALICE = Principal("alice", Role.SUBMIT)
BOB = Principal("bob", Role.SUBMIT)
CAROL = Principal("carol", Role.ADMIN)


def specification(name: str = "digits", priority: int = 0) -> SweepSpec:
    """A sweep of two trials."""
    plain = {
        "name": name,
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["msgd"],
        "search": {"learning_rate": [0.01, 0.1], "weight_decay": [0]},
        "training": {"epochs": 1, "batch_size": 64, "augmentation": "none"},
        "priority": priority,
    }
    return SweepSpec.model_validate(plain)


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Callable[..., SweepService]:
    """A service with limits of a test's own."""

    def make(**limits: Any) -> SweepService:
        return SweepService(database, Settings(home=tmp_path, **limits))

    return make


def at_once(count: int, act: Callable[[int], None]) -> None:
    """Do something in threads that start together."""
    barrier = Barrier(count)

    def start(number: int) -> None:
        barrier.wait()
        act(number)

    threads = [Thread(target=start, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def end(database: Database, sweep_id: str) -> None:
    """Let a sweep fail."""
    with database.transaction() as session:
        assert transition(session, sweep_id, SweepState.QUEUED, SweepState.FAILED)


def count(database: Database) -> int:
    with database.snapshot() as session:
        return session.query(SweepRow).count()


def test_key_of_one_submitter_neither_answers_nor_blocks_another(
    service: Callable[..., SweepService],
) -> None:
    sweeps = service()
    mine, _ = sweeps.submit(specification(), "once", submitter=ALICE)
    same, is_new = sweeps.submit(specification(), "once", submitter=ALICE)
    assert (same.sweep_id, is_new) == (mine.sweep_id, False)
    theirs, is_new = sweeps.submit(specification("other"), "once", submitter=BOB)
    assert (theirs.creator, is_new) == ("bob", True)
    with pytest.raises(ConflictProblem, match=f"belongs to sweep {mine.sweep_id}"):
        sweeps.submit(specification("third"), "once", submitter=ALICE)


def test_two_submitters_at_once_with_one_key_have_a_sweep_each(
    service: Callable[..., SweepService], database: Database
) -> None:
    sweeps = service()
    answers: list[tuple[str, str, bool]] = []

    def submit(number: int) -> None:
        submitter = (ALICE, BOB)[number % 2]
        sweep, is_new = sweeps.submit(specification(), "once", submitter=submitter)
        answers.append((submitter.name, sweep.sweep_id, is_new))

    at_once(16, submit)
    assert len(answers) == 16
    assert len({(name, sweep_id) for name, sweep_id, _ in answers}) == 2
    assert sum(is_new for _, _, is_new in answers) == 2
    assert count(database) == 2


def test_submissions_at_once_stay_within_the_limit_of_sweeps(
    service: Callable[..., SweepService], database: Database
) -> None:
    sweeps = service(max_sweeps_per_submitter=3)
    refused: list[ConflictProblem] = []

    def submit(number: int) -> None:
        try:
            sweeps.submit(specification(f"sweep-{number}"), submitter=ALICE)
        except ConflictProblem as problem:
            refused.append(problem)

    at_once(12, submit)
    assert count(database) == 3
    assert len(refused) == 9
    assert {problem.code for problem in refused} == {"too-many-sweeps"}
    assert refused[0].extra == {"submitter": "alice", "value": 4, "limit": 3}
    assert "'alice' would have 4 sweeps that have not ended; at most 3" in refused[0].detail
    assert "SASAM_MAX_SWEEPS_PER_SUBMITTER" in refused[0].detail
    sweeps.submit(specification(), submitter=BOB)  # has limits of his own


def test_known_key_is_answered_at_the_limit(service: Callable[..., SweepService]) -> None:
    sweeps = service(max_sweeps_per_submitter=1)
    first, _ = sweeps.submit(specification(), "once", submitter=ALICE)
    again, is_new = sweeps.submit(specification(), "once", submitter=ALICE)
    assert (again.sweep_id, is_new) == (first.sweep_id, False)


def test_trials_that_ended_leave_room_for_others(
    service: Callable[..., SweepService], database: Database
) -> None:
    sweeps = service(max_trials_per_submitter=3)
    spec = specification()
    sweep, _ = sweeps.submit(spec, submitter=ALICE)
    with pytest.raises(ConflictProblem, match=r"4 trials .* at most 3 .*MAX_TRIALS") as refused:
        sweeps.submit(spec, submitter=ALICE)
    assert refused.value.code == "too-many-trials"
    with database.transaction() as session:
        TrialRepository(session).record(sweep.sweep_id, spec.trials[0].key, {"outcome": "failed"})
    sweeps.submit(spec, submitter=ALICE)


def test_retry_counts_for_whose_sweep_it_is(
    service: Callable[..., SweepService], database: Database
) -> None:
    sweeps = service(max_sweeps_per_submitter=1)
    old, _ = sweeps.submit(specification(), submitter=ALICE)
    end(database, old.sweep_id)
    new, _ = sweeps.submit(specification(), submitter=ALICE)
    with pytest.raises(ConflictProblem, match="'alice' would have 2 sweeps"):
        sweeps.command(old.sweep_id, Command.RETRY_FAILED)
    assert sweeps.get(old.sweep_id).state is SweepState.FAILED
    end(database, new.sweep_id)
    assert sweeps.command(old.sweep_id, Command.RETRY_FAILED).state is SweepState.QUEUED


@pytest.mark.parametrize(
    ("submitter", "limit"), [(LOCAL, 1), (ALICE, 0)], ids=["local", "no limit"]
)
def test_who_has_no_limit_submits_on(
    service: Callable[..., SweepService], submitter: Principal, limit: int
) -> None:
    sweeps = service(max_sweeps_per_submitter=limit, max_trials_per_submitter=limit)
    made = [sweeps.submit(specification(), submitter=submitter)[0] for _ in range(3)]
    assert {sweep.creator for sweep in made} == {submitter.name}


def test_priority_above_that_of_the_role_is_refused_unstored(
    service: Callable[..., SweepService], database: Database
) -> None:
    sweeps = service(max_submit_priority=5)
    for act in (sweeps.submit, sweeps.estimate):
        with pytest.raises(SpecError) as refused:
            act(specification(priority=6), submitter=ALICE)
        (problem,) = refused.value.problems
        assert (problem.path, problem.value) == ("priority", "6")
        assert "at most 5 for the role submit" in problem.message
    assert count(database) == 0
    for submitter, priority in ((ALICE, 5), (ALICE, -1000), (CAROL, 1000), (LOCAL, 1000)):
        sweep, _ = sweeps.submit(specification(priority=priority), submitter=submitter)
        assert sweep.priority == priority


def test_sweeps_of_an_earlier_version_keep_their_keys_and_get_creators(
    empty: Database, tmp_path: Path
) -> None:
    empty.migrate("0003")
    sweeps = SweepService(empty, Settings(home=tmp_path))
    now = datetime.now(UTC)
    with empty.engine.begin() as connection:
        old = {item["name"] for item in inspect(connection).get_columns("sweeps")}
    assert "creator" not in old
    # What the earlier version stored: the key as it was sent, and the audit log's entry.
    plain = specification().model_dump(mode="json")
    values = {
        "name": "digits",
        "specification": plain,
        "state": "queued",
        "priority": 0,
        "attempt": 0,
        "failures": 0,
        "trial_count": 2,
        "body_hash": specification_hash(plain),
        "created_at": now,
    }
    rows = [
        values | {"sweep_id": "a" * 12, "idempotency_key": "once"},
        values | {"sweep_id": "b" * 12, "idempotency_key": "twice"},
        values | {"sweep_id": "c" * 12, "idempotency_key": None},
    ]
    entry = {"at": now, "address": "-", "sweep_id": "a" * 12, "request_id": "x"}
    entries = [
        entry | {"number": 1, "actor": "alice", "command": "POST /api/v1/sweeps", "status": 201},
        entry | {"number": 2, "actor": "bob", "command": "POST /api/v1/sweeps", "status": 200},
        entry | {"number": 3, "actor": "bob", "command": "POST /new", "status": 303},
    ]
    with empty.engine.begin() as connection:
        columns = [c for c in SweepRow.__table__.columns if c.name in old]
        sweeps_table = table("sweeps", *(named(c.name, c.type) for c in columns))
        connection.execute(insert(sweeps_table), rows)
        names = ("number", "at", "actor", "address", "command", "sweep_id", "status", "request_id")
        connection.execute(
            text(f"insert into audit ({', '.join(names)}) values (:{', :'.join(names)})"),  # noqa: S608 - constants
            entries,
        )
    empty.migrate()
    with empty.snapshot() as session:
        creators = {row.sweep_id: row.creator for row in session.scalars(select(SweepRow))}
    assert creators == {"a" * 12: "alice", "b" * 12: "local", "c" * 12: "local"}
    for submitter, key, expected in ((ALICE, "once", "a"), (LOCAL, "twice", "b")):
        sweep, is_new = sweeps.submit(specification(), key, submitter=submitter)
        assert (sweep.sweep_id, is_new) == (expected * 12, False)
    assert sweeps.submit(specification(), "once", submitter=BOB)[1]
