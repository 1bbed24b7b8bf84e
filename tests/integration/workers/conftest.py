"""Jobs of sweeps that are small enough to run in seconds, with a real MLflow server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support.mlflow_server import MlflowServer
from tests.support.specifications import DIGITS
from workers.driver import _ENVIRONMENT
from workers.job import DriverJob
from workers.journal import Journal
from workers.spec import validate_spec


@pytest.fixture(autouse=True, scope="module")
def driver_environment() -> Iterator[None]:
    """The environment that a driver sets for itself."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _ENVIRONMENT.items():
            environment.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def client(mlflow_server: MlflowServer) -> MlflowClient:
    return MlflowClient(mlflow_server.uri)


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the images lie that all sweeps share."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def make_job(
    mlflow_server: MlflowServer, shared_data: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., DriverJob]:
    """A driver's job of a small sweep that belongs to the test, with changes."""
    sweep = request.node.name.removeprefix("test_").replace("[", "-").replace("]", "")[:60]

    def make(*, attempt: int = 1, sweep_id: str = sweep, **changes: Any) -> DriverJob:
        return DriverJob(
            sweep_id=sweep_id,
            attempt=attempt,
            specification=validate_spec(DIGITS | {"name": sweep} | changes),
            mlflow_tracking_uri=mlflow_server.uri,
            storage_path=str(tmp_path),
            scratch_path=str(tmp_path),
            data_dir=str(shared_data),
        )

    return make


@pytest.fixture
def open_journal() -> Iterator[Callable[[DriverJob], Journal]]:
    """Open the journal of a job; closed at the end of the test."""
    journals: list[Journal] = []

    def open_it(job: DriverJob) -> Journal:
        journals.append(Journal(Path(job.scratch_path) / "sweeps" / job.sweep_id / "journal.jsonl"))
        return journals[-1]

    yield open_it
    for journal in journals:
        journal.close()
