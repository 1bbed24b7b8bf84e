"""Commands concurrent with other changes of the same sweep, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.problems import ConflictProblem, NotFoundProblem
from service.settings import Settings
from service.states import Command, SweepState
from service.storage import Database
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
def database(postgresql: str) -> Iterator[Database]:
    database = Database(postgresql)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def sweeps(database: Database, tmp_path: Path) -> SweepService:
    return SweepService(database, Settings(home=tmp_path))


@pytest.fixture
def sweep_id(sweeps: SweepService) -> str:
    """A queued sweep."""
    return sweeps.submit(SPECIFICATION)[0].sweep_id


def cancel(session: Session, sweep_id: str) -> None:
    assert transition(session, sweep_id, SweepState.QUEUED, SweepState.CANCELLING)
    assert transition(session, sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)


def meet(
    database: Database, change: Callable[[Session], object], command: Callable[[], object]
) -> None:
    """Give a command while a change is not yet committed; commit when the command waits for it."""
    with ThreadPoolExecutor(1) as thread:
        with database.transaction() as session:
            change(session)
            session.flush()
            answer = thread.submit(command)
            while not is_waited_for(database):
                assert not answer.done()
        answer.result()


def is_waited_for(database: Database) -> bool:
    with database.snapshot() as session:
        return bool(session.scalar(text("select count(*) from pg_locks where not granted")))


def test_refusal_names_the_state_that_was_faster(
    database: Database, sweeps: SweepService, sweep_id: str
) -> None:
    with pytest.raises(ConflictProblem, match="a cancelled sweep cannot be paused") as caught:
        meet(
            database,
            lambda session: cancel(session, sweep_id),
            lambda: sweeps.command(sweep_id, Command.PAUSE),
        )
    assert caught.value.extra["state"] == "cancelled"


def test_command_does_what_the_state_that_was_faster_allows(
    database: Database, sweeps: SweepService, sweep_id: str
) -> None:
    meet(
        database,
        lambda session: transition(session, sweep_id, SweepState.QUEUED, SweepState.PAUSED),
        lambda: sweeps.command(sweep_id, Command.CANCEL),
    )
    assert sweeps.get(sweep_id).state == "cancelling"


def test_refused_deletion_names_the_state_that_was_faster(
    database: Database, sweeps: SweepService, sweep_id: str
) -> None:
    with database.transaction() as session:
        cancel(session, sweep_id)
    with pytest.raises(ConflictProblem, match="a queued sweep cannot be deleted"):
        meet(
            database,
            lambda session: transition(session, sweep_id, SweepState.CANCELLED, SweepState.QUEUED),
            lambda: sweeps.delete(sweep_id),
        )


def test_deletion_of_what_was_deleted_meanwhile_finds_nothing(
    database: Database, sweeps: SweepService, sweep_id: str
) -> None:
    with database.transaction() as session:
        cancel(session, sweep_id)
    with pytest.raises(NotFoundProblem):
        meet(
            database,
            lambda session: SweepRepository(session).remove(sweep_id),
            lambda: sweeps.delete(sweep_id),
        )


def test_command_on_what_cannot_be_an_id_finds_nothing(sweeps: SweepService) -> None:
    with pytest.raises(NotFoundProblem):
        sweeps.command("\0", Command.PAUSE)
