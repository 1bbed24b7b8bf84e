"""Continuing with other code, and the rate of a restarted sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from service.problems import ConflictProblem
from service.states import Command
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.selection import SweepSelection
from service.sweeps.service import SweepService
from workers.code_version import code_version
from workers.spec import SweepSpec

SPECIFICATION = SweepSpec.model_validate(
    {
        "name": "digits",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam", "msgd"],
        "search": {"learning_rate": [0.1], "weight_decay": [0.0, 0.1]},
    }
)


def stop(
    sweeps: SweepService, database: Database, state: str, code: str | None, *outcomes: str | None
) -> str:
    """A sweep in a state, whose last driver ran some code."""
    sweep_id = sweeps.submit(SPECIFICATION)[0].sweep_id
    with database.transaction() as session:
        session.execute(update(SweepRow).values(state=state, code_version=code))
        for trial, outcome in zip(SPECIFICATION.trials, outcomes, strict=False):
            session.execute(
                update(TrialRow).where(TrialRow.key == trial.key).values(outcome=outcome)
            )
    return sweep_id


def accepts_changes(database: Database, sweep_id: str) -> bool:
    with database.snapshot() as session:
        row = session.get(SweepRow, sweep_id)
        assert row is not None
        return row.accepts_changes


@pytest.mark.parametrize(
    ("state", "command"), [("paused", Command.RESUME), ("failed", Command.RETRY_FAILED)]
)
def test_other_code_than_that_of_results_needs_consent(
    state: str, command: Command, sweeps: SweepService, database: Database
) -> None:
    sweep_id = stop(sweeps, database, state, "0.0.9 (abc)", "completed", "diverged", "failed")
    with pytest.raises(ConflictProblem) as caught:
        sweeps.command(sweep_id, command)
    assert caught.value.detail == (
        "2 trials of this sweep have ended under sasam 0.0.9 (abc), this is "
        f"{code_version()}; results may not be comparable: pass ?force=true to continue anyway"
    )
    assert caught.value.code == "code-changed"
    assert caught.value.extra == {"before": "0.0.9 (abc)", "now": code_version()}
    assert sweeps.get(sweep_id).state == state
    assert sweeps.command(sweep_id, command, accept_changes=True).state == "queued"
    assert accepts_changes(database, sweep_id)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("now", "completed"), (None, "completed"), ("0.0.9", "failed"), ("0.0.9", None)],
)
def test_same_code_or_no_results_need_none(
    code: str | None, outcome: str | None, sweeps: SweepService, database: Database
) -> None:
    code = code_version() if code == "now" else code
    sweep_id = stop(sweeps, database, "paused", code, outcome)
    assert sweeps.command(sweep_id, Command.RESUME).state == "queued"
    assert not accepts_changes(database, sweep_id)


def test_other_code_does_not_keep_from_cancelling(sweeps: SweepService, database: Database) -> None:
    sweep_id = stop(sweeps, database, "running", "0.0.9", "completed")
    assert sweeps.command(sweep_id, Command.CANCEL).state == "cancelling"


def test_rate_counts_what_has_ended_since_the_sweep_began_again(
    sweeps: SweepService, database: Database
) -> None:
    sweep_id = stop(sweeps, database, "running", None, "completed", "diverged", "completed")
    now = datetime.now(UTC)
    with database.transaction() as session:
        began = {"started_at": now - timedelta(minutes=10)}
        session.execute(update(SweepRow).values(**began))
        first, *others = SPECIFICATION.trials[:3]
        for trial, minutes in ((first, 5), *((other, 60) for other in others)):
            ended = {"ended_at": now - timedelta(minutes=minutes)}
            session.execute(update(TrialRow).where(TrialRow.key == trial.key).values(**ended))
    progress = sweeps.get(sweep_id).progress
    assert progress.ended == 3
    assert progress.trials_per_minute == pytest.approx(0.1, rel=0.05)
    assert progress.seconds_left == pytest.approx(600, rel=0.05)
    (shown,) = sweeps.page(SweepSelection(), cursor=None, limit=5).sweeps
    assert shown.progress.trials_per_minute == pytest.approx(0.1, rel=0.05)


def test_sweep_that_began_again_has_no_rate_before_its_first_end(
    sweeps: SweepService, database: Database
) -> None:
    sweep_id = stop(sweeps, database, "running", None, "completed")
    now = datetime.now(UTC)
    with database.transaction() as session:
        session.execute(update(SweepRow).values(started_at=now))
        session.execute(update(TrialRow).values(ended_at=now - timedelta(minutes=5)))
    progress = sweeps.get(sweep_id).progress
    assert (progress.ended, progress.trials_per_minute, progress.seconds_left) == (1, None, None)
