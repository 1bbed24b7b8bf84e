"""Extension of sweeps in the database: what is added, what stays, in which states, who may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from service.events.repository import EventRepository
from service.problems import ConflictProblem, NotFoundProblem
from service.security.access import Principal, Role
from service.settings import Settings
from service.states import Command, SweepState
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.annotations import SweepChanges
from service.sweeps.lifecycle import transition
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from workers.metrics import Outcome
from workers.spec import SpecError, SweepSpec

S = SweepState
PLAIN: dict[str, Any] = {
    "name": "digits",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": ["sam"],
    "search": {"learning_rate": [0.01, 0.1], "weight_decay": [0.0]},
}
MORE = PLAIN | {"search": {"learning_rate": [0.001, 0.01, 0.1], "weight_decay": [0.0]}}
PATHS = {
    S.QUEUED: (),
    S.STARTING: (S.STARTING,),
    S.RUNNING: (S.STARTING, S.RUNNING),
    S.PAUSING: (S.STARTING, S.RUNNING, S.PAUSING),
    S.PAUSED: (S.PAUSED,),
    S.CANCELLING: (S.CANCELLING,),
    S.CANCELLED: (S.CANCELLING, S.CANCELLED),
    S.COMPLETED: (S.STARTING, S.RUNNING, S.COMPLETED),
    S.FAILED: (S.FAILED,),
}


def spec(plain: dict[str, Any] = PLAIN, **changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(plain | changes)


@pytest.fixture
def sweep_in(sweeps: SweepService, database: Database) -> Callable[..., str]:
    """Submit a sweep and bring it to a state."""

    def bring(state: SweepState, **options: Any) -> str:
        sweep_id = sweeps.submit(spec(), **options)[0].sweep_id
        before = S.QUEUED
        for after in PATHS[state]:
            with database.transaction() as session:
                assert transition(session, sweep_id, before, after)
            before = after
        return sweep_id

    return bring


def trials_of(database: Database, sweep_id: str) -> list[TrialRow]:
    with database.snapshot() as session:
        return list(TrialRepository(session).of_sweep(sweep_id))


@pytest.mark.parametrize("state", list(SweepState))
def test_extension_in_every_state(
    state: SweepState, sweep_in: Callable[..., str], sweeps: SweepService, database: Database
) -> None:
    sweep_id = sweep_in(state)
    if state is S.CANCELLING:
        with pytest.raises(ConflictProblem, match="a cancelling sweep cannot be extended"):
            sweeps.extend(sweep_id, spec(MORE))
        assert len(trials_of(database, sweep_id)) == 2
        return
    assert Command.EXTEND in sweeps.get(sweep_id).commands
    extended = sweeps.extend(sweep_id, spec(MORE), text="# more\n")
    ended = state in {S.COMPLETED, S.FAILED, S.CANCELLED}
    assert extended.state == sweeps.get(sweep_id).state == (S.QUEUED if ended else state)
    assert extended.progress.total == 3
    assert sweeps.text(sweep_id) == "# more\n"
    rows = trials_of(database, sweep_id)
    assert [row.key for row in rows] == [trial.key for trial in spec(MORE).trials]
    assert [row.position for row in rows] == [0, 1, 2]


def test_results_stay_and_failures_of_an_ended_sweep_run_again(
    sweep_in: Callable[..., str], sweeps: SweepService, database: Database
) -> None:
    sweep_id = sweep_in(S.COMPLETED)
    done, failed = spec().trials
    with database.transaction() as session:
        for trial, outcome in ((done, Outcome.COMPLETED), (failed, Outcome.FAILED)):
            values = {
                "outcome": outcome,
                "mlflow_run_id": "run",
                "epoch": 3,
                "metrics": {"val_accuracy": 0.5},
            }
            TrialRepository(session).record(sweep_id, trial.key, values)
    sweeps.extend(sweep_id, spec(MORE))
    by_key = {row.key: row for row in trials_of(database, sweep_id)}
    kept, again = by_key[done.key], by_key[failed.key]
    assert (kept.status, kept.epoch, kept.metrics) == ("completed", 3, {"val_accuracy": 0.5})
    assert (again.status, again.epoch, again.metrics) == ("pending", 0, {})
    with database.snapshot() as session:
        kinds = [
            (row.kind, row.data) for row in EventRepository(session).after(sweep_id, 0, limit=99)
        ]
    assert kinds[-2:] == [
        ("extended", {"trials": 3, "added": 1}),
        ("state", {"state": "queued", "before": "completed", "reason": None, "attempt": 0}),
    ]


def test_archived_sweep_that_is_extended_is_in_the_list_again(
    sweep_in: Callable[..., str], sweeps: SweepService
) -> None:
    sweep_id = sweep_in(S.COMPLETED)
    sweeps.annotate(sweep_id, SweepChanges(archived=True))
    assert sweeps.get(sweep_id).is_archived
    assert not sweeps.extend(sweep_id, spec(MORE)).is_archived


def test_same_specification_changes_nothing(
    sweep_in: Callable[..., str], sweeps: SweepService
) -> None:
    sweep_id = sweep_in(S.COMPLETED)
    before = sweeps.get(sweep_id)
    assert sweeps.extend(sweep_id, spec()) == before
    sweeps.extend(sweep_id, spec(MORE))
    once = sweeps.get(sweep_id)
    assert sweeps.extend(sweep_id, spec(MORE)) == once


@pytest.mark.slow
def test_refused_extension_changes_nothing(
    sweep_in: Callable[..., str], sweeps: SweepService, database: Database
) -> None:
    sweep_id = sweep_in(S.COMPLETED)
    before = sweeps.get(sweep_id)
    with pytest.raises(SpecError, match=r'model.name: must stay "cnn-tiny"'):
        sweeps.extend(sweep_id, spec(MORE, model="vgg11-slim"))
    with database.transaction() as session:  # results of other code
        values = {"outcome": "completed", "mlflow_run_id": "run"}
        TrialRepository(session).record(sweep_id, spec().trials[0].key, values)
        session.execute(update(SweepRow).values(code_version="another"))
    before = sweeps.get(sweep_id)
    with pytest.raises(ConflictProblem, match="results may not be comparable") as caught:
        sweeps.extend(sweep_id, spec(MORE))
    assert caught.value.code == "code-changed"
    assert sweeps.get(sweep_id) == before
    assert len(trials_of(database, sweep_id)) == 2
    assert sweeps.extend(sweep_id, spec(MORE), accept_changes=True).state == "queued"
    with database.snapshot() as session:
        assert session.scalar(select(SweepRow.accepts_changes))
    with pytest.raises(NotFoundProblem):
        sweeps.extend("0" * 12, spec(MORE))


def test_limits_hold_for_extensions(database: Database, tmp_path: Path) -> None:
    alice = Principal("alice", Role.SUBMIT)
    limits = {"max_trials": 4, "max_trials_per_submitter": 3}
    sweeps = SweepService(database, Settings(home=tmp_path, **limits))
    sweep_id = sweeps.submit(spec(), submitter=alice)[0].sweep_id
    with pytest.raises(ConflictProblem, match="'alice' would have 4 trials"):
        sweeps.extend(sweep_id, spec(seeds=[0, 1]), submitter=alice)
    with pytest.raises(SpecError, match="at most 4 trials a sweep"):
        sweeps.extend(sweep_id, spec(seeds=[0, 1, 2]), submitter=alice)
    assert len(trials_of(database, sweep_id)) == 2
    assert sweeps.extend(sweep_id, spec(MORE), submitter=alice).progress.total == 3


def test_estimate_of_an_extension_is_that_of_its_new_trials(sweeps: SweepService) -> None:
    sweep_id = sweeps.submit(spec())[0].sweep_id
    whole, small = sweeps.estimate(spec(MORE)), sweeps.estimate(spec())
    added = sweeps.estimate(spec(MORE), extended=sweep_id)
    assert (added.trials, added.new_trials, whole.new_trials) == (3, 1, None)
    assert added.gradient_evaluations == whole.gradient_evaluations - small.gradient_evaluations > 0
    assert sweeps.estimate(spec(), extended=sweep_id).new_trials == 0
    with pytest.raises(SpecError, match=r"must keep 0\.01"):
        sweeps.estimate(spec(MORE, search={"learning_rate": [1, 0.1]}), extended=sweep_id)
