"""Repositories, on each database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from service.security.access import Principal, Role
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.annotations import SweepChanges
from service.sweeps.lifecycle import transition
from service.sweeps.repository import SweepRepository
from service.sweeps.selection import SweepOrder, SweepSelection, parse_tags
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from workers.spec import SweepSpec


def specification(name: str = "digits", priority: int = 0, **extra: object) -> SweepSpec:
    plain = {
        "name": name,
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam", "msgd"],
        "search": {"learning_rate": [0.1, 0.01], "weight_decay": [0.0]},
        "priority": priority,
    }
    return SweepSpec.model_validate(plain | extra)


@pytest.fixture
def sweeps(database: Database, tmp_path: Path) -> SweepService:
    return SweepService(database, Settings(home=tmp_path))


def submit(sweeps: SweepService, *names: str, priority: int = 0) -> list[str]:
    return [sweeps.submit(specification(name, priority))[0].sweep_id for name in names]


def test_pages_walk_all_sweeps_newest_first_each_once(
    sweeps: SweepService, database: Database
) -> None:
    ids = submit(sweeps, *"abcdefg")
    with database.transaction() as session:  # three of them at one moment
        for sweep_id in ids[2:5]:
            row = SweepRepository(session).get(sweep_id)
            assert row is not None
            row.created_at = datetime(2026, 1, 1, tzinfo=UTC)
    newest_first = [*reversed(ids[5:]), *reversed(ids[:2]), *sorted(ids[2:5], reverse=True)]
    walked, cursor = [], None
    while True:
        page = sweeps.page(SweepSelection(), cursor=cursor, limit=2)
        walked += [sweep.sweep_id for sweep in page.sweeps]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.sweeps) == 2
    assert walked == newest_first


def test_page_filters_by_state_and_name(sweeps: SweepService, database: Database) -> None:
    first, second, third = submit(sweeps, "a", "a", "b")
    with database.transaction() as session:
        transition(session, second, SweepState.QUEUED, SweepState.STARTING)

    def found(states: list[SweepState], name: str | None) -> set[str]:
        page = sweeps.page(SweepSelection(states=states, name=name), cursor=None, limit=10)
        assert page.next_cursor is None
        return {sweep.sweep_id for sweep in page.sweeps}

    assert found([], "a") == {first, second}
    assert found([SweepState.QUEUED], None) == {first, third}
    assert found([SweepState.QUEUED, SweepState.STARTING], "a") == {first, second}
    assert found([SweepState.FAILED], None) == set()


def test_selection_by_model_data_creator_tags_and_archive(
    sweeps: SweepService, database: Database
) -> None:
    quoted = Principal('it\'s "ours"', Role.SUBMIT)
    wide = {"model": "vgg11-slim", "tags": {"figure 3": "100 %"}}
    made = {
        "plain": sweeps.submit(specification("plain"))[0].sweep_id,
        "wide": sweeps.submit(specification("wide", 0, **wide), submitter=quoted)[0].sweep_id,
    }
    made["shelved"] = sweeps.submit(specification("shelved"))[0].sweep_id
    with database.transaction() as session:
        transition(session, made["shelved"], SweepState.QUEUED, SweepState.FAILED)
    sweeps.annotate(made["shelved"], SweepChanges(archived=True, tags={"figure 3": "b"}))
    names = {sweep_id: name for name, sweep_id in made.items()}

    def found(**chosen: Any) -> list[str]:
        page = sweeps.page(SweepSelection(**chosen), cursor=None, limit=10)
        return [names[sweep.sweep_id] for sweep in page.sweeps]

    assert found() == ["wide", "plain"]
    assert found(archived=None) == ["shelved", "wide", "plain"]
    assert found(archived=True) == ["shelved"]
    assert found(model="vgg11-slim") == found(creator=quoted.name) == ["wide"]
    assert found(dataset="digits", text="LAI") == ["plain"]
    assert found(text=made["wide"][:6]) == ["wide"]
    assert found(tags={"figure 3": None}) == found(tags=parse_tags(["figure 3=100 %"])) == ["wide"]
    assert found(tags={"figure 3": "b"}) == found(tags={'"$': "'"}) == []
    listed, total = sweeps.search(SweepSelection(), order=SweepOrder.NAME, limit=1)
    assert ([sweep.name for sweep in listed], total) == (["plain"], 2)
    with database.snapshot() as session:
        assert SweepRepository(session).choices() == {
            "model": ["cnn-tiny", "vgg11-slim"],
            "dataset": ["digits"],
            "creator": [quoted.name, "local"],
            "tag": ["figure 3=100 %", "figure 3=b"],
        }


def test_live_sweeps_come_by_priority_then_age_without_the_ended(
    sweeps: SweepService, database: Database
) -> None:
    early, late = submit(sweeps, "early", "late")
    (urgent,) = submit(sweeps, "urgent", priority=5)
    (ended,) = submit(sweeps, "ended", priority=9)
    (patient,) = submit(sweeps, "patient", priority=-1)
    with database.transaction() as session:
        transition(session, ended, SweepState.QUEUED, SweepState.FAILED)
    with database.snapshot() as session:
        live = [row.sweep_id for row in SweepRepository(session).live()]
    assert live == [urgent, early, late, patient]


def test_states_are_counted(sweeps: SweepService, database: Database) -> None:
    first, _, _ = submit(sweeps, "a", "b", "c")
    with database.transaction() as session:
        transition(session, first, SweepState.QUEUED, SweepState.FAILED)
        counts = SweepRepository(session).count_by_state()
    assert counts == {SweepState.QUEUED: 2, SweepState.FAILED: 1}


def test_remove_takes_an_ended_sweep_with_its_trials_and_no_other(
    sweeps: SweepService, database: Database
) -> None:
    ended, live = submit(sweeps, "ended", "live")
    with database.transaction() as session:
        transition(session, ended, SweepState.QUEUED, SweepState.FAILED)
        assert SweepRepository(session).remove(ended)
        assert not SweepRepository(session).remove(live)
        assert not SweepRepository(session).remove("missing")
    with database.snapshot() as session:
        assert SweepRepository(session).get(ended) is None
        assert TrialRepository(session).of_sweep(ended) == []
        assert len(TrialRepository(session).of_sweep(live)) == 4


@pytest.mark.parametrize("identity", ["", "missing", "'; drop table sweeps; --", "a\0b", "../x"])
def test_invalid_identity_finds_nothing(
    identity: str, sweeps: SweepService, database: Database
) -> None:
    (sweep_id,) = submit(sweeps, "a")
    with database.snapshot() as session:
        assert SweepRepository(session).get(identity) is None
        assert TrialRepository(session).get(sweep_id, identity) is None


def test_trials_are_planned_in_the_order_of_the_specification(
    sweeps: SweepService, database: Database
) -> None:
    (sweep_id,) = submit(sweeps, "a")
    with database.snapshot() as session:
        rows = TrialRepository(session).of_sweep(sweep_id)
        assert TrialRepository(session).of_sweep(sweep_id, after=(0, "g"), limit=2) == rows[1:3]
    planned = [
        (trial.key, trial.optimizer_label, trial.learning_rate, trial.seed)
        for trial in specification("a").trials
    ]
    assert [(row.key, row.optimizer, row.learning_rate, row.seed) for row in rows] == planned
    assert {row.status for row in rows} == {"pending"}


def test_trials_are_counted_and_found_by_status(sweeps: SweepService, database: Database) -> None:
    mine, other = submit(sweeps, "a", "b")
    first, second, third, fourth = specification("a").trials
    with database.transaction() as session:
        trials = TrialRepository(session)
        trials.record(mine, first.key, {"outcome": "completed", "mlflow_run_id": "1"})
        trials.record(mine, second.key, {"outcome": "failed", "mlflow_run_id": "2"})
        trials.record(mine, third.key, {"mlflow_run_id": "3", "metrics": {"val_loss": 0.5}})
        trials.record(mine, "unknown", {"outcome": "completed"})
    expected = {"completed": first, "failed": second, "running": third, "pending": fourth}
    with database.snapshot() as session:
        trials = TrialRepository(session)
        for status, trial in expected.items():
            (row,) = trials.of_sweep(mine, outcome=status)
            assert (row.key, row.status) == (trial.key, status)
        assert trials.count([mine, other, "none"]) == {
            mine: Counter(dict.fromkeys(expected, 1)),
            other: Counter(pending=4),
            "none": Counter(),
        }


def test_twenty_threads_with_five_keys_submit_five_sweeps(
    sweeps: SweepService, database: Database
) -> None:
    barrier = Barrier(20)
    answers: list[tuple[str, str, bool]] = []

    def post(number: int) -> None:
        key = f"key-{number % 5}"
        barrier.wait()
        sweep, is_new = sweeps.submit(specification(key), key)
        answers.append((key, sweep.sweep_id, is_new))

    threads = [Thread(target=post, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20
    assert len({(key, sweep_id) for key, sweep_id, _ in answers}) == 5
    assert sum(is_new for _, _, is_new in answers) == 5
    with database.snapshot() as session:
        assert SweepRepository(session).count_by_state() == {SweepState.QUEUED: 5}


def test_two_claims_of_one_sweep_succeed_once(sweeps: SweepService, database: Database) -> None:
    (sweep_id,) = submit(sweeps, "a")
    barrier = Barrier(10)
    won: list[bool] = []

    def claim() -> None:
        barrier.wait()
        with database.transaction() as session:
            won.append(transition(session, sweep_id, SweepState.QUEUED, SweepState.STARTING))

    threads = [Thread(target=claim) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 9 + [True]


def test_cursor_before_all_sweeps_ends_the_walk(sweeps: SweepService, database: Database) -> None:
    submit(sweeps, "a")
    with database.snapshot() as session:
        before = (datetime.now(UTC) - timedelta(days=1), "f" * 12)
        assert SweepRepository(session).page(SweepSelection(), before=before, limit=5) == []


def test_comparable_sweeps_and_rates_are_found(sweeps: SweepService, database: Database) -> None:
    same = submit(sweeps, "first", "second")
    other, _ = sweeps.submit(specification(model="vgg11-slim"))
    now = datetime.now(UTC)
    with database.transaction() as session:
        repository = SweepRepository(session)
        found = repository.comparable("cnn-tiny", "digits")
        assert {row.sweep_id for row in found} == set(same)
        assert repository.comparable("cnn-tiny", "cifar10") == []
        found[0].started_at = now
        for position, trial in enumerate(specification().trials):
            values = {"outcome": "completed", "ended_at": now + timedelta(hours=position - 1)}
            TrialRepository(session).record(found[0].sweep_id, trial.key, values)
        ids = [*same, other.sweep_id]
        assert [trial.position for trial in repository.completed_trials(ids)] == [3, 2, 1, 0]
        assert repository.count_ended_since_start(ids) == {found[0].sweep_id: 3}
        last = specification().trials[-1].key
        origin = {"reused_from": {"sweep_id": "another", "run_id": "run"}}
        TrialRepository(session).record(found[0].sweep_id, last, origin)
        assert [trial.position for trial in repository.completed_trials(ids)] == [2, 1, 0]
        assert repository.count_ended_since_start(ids) == {found[0].sweep_id: 2}
        assert SweepRepository(session).count_reused(ids) == {found[0].sweep_id: 1}
