"""Every pair of states, and every command in every state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from sqlalchemy import update

from service.problems import ConflictProblem, NotFoundProblem
from service.states import (
    COMMANDS,
    LIVE,
    TERMINAL,
    TRANSITIONS,
    Command,
    SweepState,
    allowed_commands,
)
from service.storage import Database, SweepRow
from service.sweeps.lifecycle import transition
from service.sweeps.schemas import SweepDetail
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from workers.spec import SweepSpec

S = SweepState
SPECIFICATION = SweepSpec.model_validate(
    {
        "name": "digits",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam", "msgd"],
        "search": {"learning_rate": [0.1], "weight_decay": [0.0]},
    }
)

# Written out a second time: the table under test must not be its own judge.
ALLOWED = {
    (S.QUEUED, S.STARTING),
    (S.QUEUED, S.PAUSED),
    (S.QUEUED, S.CANCELLING),
    (S.QUEUED, S.FAILED),
    (S.STARTING, S.RUNNING),
    (S.STARTING, S.QUEUED),
    (S.STARTING, S.PAUSING),
    (S.STARTING, S.CANCELLING),
    (S.STARTING, S.FAILED),
    (S.RUNNING, S.COMPLETED),
    (S.RUNNING, S.FAILED),
    (S.RUNNING, S.QUEUED),
    (S.RUNNING, S.PAUSING),
    (S.RUNNING, S.CANCELLING),
    (S.PAUSING, S.PAUSED),
    (S.PAUSING, S.COMPLETED),
    (S.PAUSING, S.FAILED),
    (S.PAUSING, S.CANCELLING),
    (S.PAUSED, S.QUEUED),
    (S.PAUSED, S.CANCELLING),
    (S.CANCELLING, S.CANCELLED),
    (S.CANCELLED, S.QUEUED),
    (S.COMPLETED, S.QUEUED),
    (S.FAILED, S.QUEUED),
}
AFTER = {
    (S.QUEUED, Command.PAUSE): S.PAUSED,
    (S.STARTING, Command.PAUSE): S.PAUSING,
    (S.RUNNING, Command.PAUSE): S.PAUSING,
    (S.PAUSED, Command.RESUME): S.QUEUED,
    (S.QUEUED, Command.CANCEL): S.CANCELLING,
    (S.STARTING, Command.CANCEL): S.CANCELLING,
    (S.RUNNING, Command.CANCEL): S.CANCELLING,
    (S.PAUSING, Command.CANCEL): S.CANCELLING,
    (S.PAUSED, Command.CANCEL): S.CANCELLING,
    (S.COMPLETED, Command.RETRY_FAILED): S.QUEUED,
    (S.FAILED, Command.RETRY_FAILED): S.QUEUED,
    (S.CANCELLED, Command.RETRY_FAILED): S.QUEUED,
    (S.QUEUED, Command.EXTEND): S.QUEUED,
    (S.STARTING, Command.EXTEND): S.STARTING,
    (S.RUNNING, Command.EXTEND): S.RUNNING,
    (S.PAUSING, Command.EXTEND): S.PAUSING,
    (S.PAUSED, Command.EXTEND): S.PAUSED,
    (S.COMPLETED, Command.EXTEND): S.QUEUED,
    (S.FAILED, Command.EXTEND): S.QUEUED,
    (S.CANCELLED, Command.EXTEND): S.QUEUED,
    (S.COMPLETED, Command.DELETE): None,
    (S.FAILED, Command.DELETE): None,
    (S.CANCELLED, Command.DELETE): None,
}
PATH = {
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


@pytest.fixture
def sweep_in(sweeps: SweepService, database: Database) -> Callable[[SweepState], str]:
    """Submit a sweep and bring it to a state through the table of transitions."""

    def bring(state: SweepState) -> str:
        sweep_id = sweeps.submit(SPECIFICATION)[0].sweep_id
        before = S.QUEUED
        for after in PATH[state]:
            with database.transaction() as session:
                assert transition(session, sweep_id, before, after)
            before = after
        return sweep_id

    return bring


def test_every_state_is_live_or_terminal() -> None:
    assert set(SweepState) == LIVE | TERMINAL
    assert not LIVE & TERMINAL
    assert set(TRANSITIONS) == set(SweepState)


def test_commands_follow_the_table_of_transitions() -> None:
    for changes in COMMANDS.values():
        for before, after in changes.items():
            assert after in TRANSITIONS[before]


def test_transition_of_every_pair_follows_the_table(
    sweep_in: Callable[[SweepState], str], sweeps: SweepService, database: Database
) -> None:
    for before in SweepState:
        sweep_id = sweep_in(before)
        for after in SweepState:
            with database.transaction() as session:
                if (before, after) in ALLOWED:
                    assert transition(session, sweep_id, before, after)
                else:
                    expected = f"no transition from {before} to {after} \\(allowed: "
                    with pytest.raises(ValueError, match=expected):
                        transition(session, sweep_id, before, after)
                session.rollback()
        assert sweeps.get(sweep_id).state == before


def test_transition_from_a_state_that_is_past_changes_nothing(
    sweep_in: Callable[[SweepState], str], sweeps: SweepService, database: Database
) -> None:
    for actual in SweepState:
        sweep_id = sweep_in(actual)
        for before, after in ALLOWED:
            if before != actual:
                with database.transaction() as session:
                    assert not transition(session, sweep_id, before, after, reason="lost")
        found = sweeps.get(sweep_id)
        assert (found.state, found.reason) == (actual, None)


def test_transition_of_a_missing_sweep_changes_nothing(database: Database) -> None:
    with database.transaction() as session:
        assert not transition(session, "0" * 12, S.QUEUED, S.STARTING)


def test_transition_sets_and_clears_the_end(
    sweep_in: Callable[[SweepState], str], sweeps: SweepService, database: Database
) -> None:
    sweep_id = sweep_in(S.RUNNING)
    with database.transaction() as session:
        assert transition(session, sweep_id, S.RUNNING, S.FAILED, reason="no memory")
    ended = sweeps.get(sweep_id)
    assert ended.ended_at is not None
    assert ended.reason == "no memory"
    with database.transaction() as session:
        assert transition(session, sweep_id, S.FAILED, S.QUEUED)
    again = sweeps.get(sweep_id)
    assert again.ended_at is None
    assert again.reason is None


@pytest.mark.slow
@pytest.mark.parametrize(("state", "command"), list(product(SweepState, Command)))
def test_command_in_every_state_does_or_says_why_not(
    state: SweepState,
    command: Command,
    sweep_in: Callable[[SweepState], str],
    sweeps: SweepService,
) -> None:
    sweep_id = sweep_in(state)

    def order() -> SweepDetail | None:
        if command is Command.DELETE:
            sweeps.delete(sweep_id)
            return None
        if command is Command.EXTEND:
            larger = SPECIFICATION.model_dump(mode="json") | {"seeds": [0, 1]}
            return sweeps.extend(sweep_id, SweepSpec.model_validate(larger))
        return sweeps.command(sweep_id, command)

    if (state, command) not in AFTER:
        with pytest.raises(ConflictProblem) as caught:
            order()
        allowed = [other for other in Command if (state, other) in AFTER]
        assert set(caught.value.extra["allowed"]) == set(allowed) == set(allowed_commands(state))
        assert caught.value.detail.startswith(f"a {state} sweep cannot be ")
        assert caught.value.detail.endswith(", ".join(allowed_commands(state)) or "none")
        assert sweeps.get(sweep_id).state == state
        return
    answer = order()
    if command is Command.DELETE:
        with pytest.raises(NotFoundProblem):
            sweeps.get(sweep_id)
    else:
        assert answer is not None
        assert answer.state == sweeps.get(sweep_id).state == AFTER[state, command]
        assert answer.commands == allowed_commands(answer.state)


def record(database: Database, sweep_id: str, *outcomes: str | None, **values: Any) -> None:
    with database.transaction() as session:
        for trial, outcome in zip(SPECIFICATION.trials, outcomes, strict=True):
            row = {"outcome": outcome, "mlflow_run_id": "run", "epoch": 3, **values}
            TrialRepository(session).record(sweep_id, trial.key, row)


def test_retry_forgets_failures_and_keeps_results(
    sweep_in: Callable[[SweepState], str], sweeps: SweepService, database: Database
) -> None:
    sweep_id = sweep_in(S.FAILED)
    record(database, sweep_id, "diverged", "failed", error="no memory", metrics={"epoch": 3.0})
    with database.transaction() as session:
        session.execute(update(SweepRow).values(failures=4, not_before=datetime.now(UTC)))
    progress = sweeps.command(sweep_id, Command.RETRY_FAILED).progress
    assert (progress.diverged, progress.pending, progress.running) == (1, 1, 0)
    with database.snapshot() as session:
        row = session.get(SweepRow, sweep_id)
        assert row is not None
        assert (row.failures, row.not_before) == (0, None)
        kept, again = TrialRepository(session).of_sweep(sweep_id)
        assert (kept.outcome, kept.error, kept.epoch) == ("diverged", "no memory", 3)
        assert (again.status, again.error, again.epoch, again.metrics) == ("pending", None, 0, {})


def test_retry_with_every_result_there_is_refused_and_changes_nothing(
    sweep_in: Callable[[SweepState], str], sweeps: SweepService, database: Database
) -> None:
    sweep_id = sweep_in(S.COMPLETED)
    record(database, sweep_id, "completed", "diverged")
    with pytest.raises(ConflictProblem, match="every trial has a result; nothing to retry"):
        sweeps.command(sweep_id, Command.RETRY_FAILED)
    assert sweeps.get(sweep_id).state == S.COMPLETED
    assert sweeps.get(sweep_id).ended_at is not None
