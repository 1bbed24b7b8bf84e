"""A real MLflow server, and sweeps small enough to run in seconds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from workers.delivery import MlflowWriter
from workers.driver import _ENVIRONMENT
from workers.job import JOB_VARIABLE, DriverJob
from workers.journal import Journal
from workers.spec import validate_spec

ROOT = Path(__file__).parents[3]
SPEC: dict[str, Any] = {
    "name": "digits",
    "dataset": {"name": "digits", "train_size": 256, "test_size": 100},
    "ood": {"corruptions": ["brightness", "contrast"], "severities": [1, 5], "images": 20},
    "model": {"name": "cnn-tiny", "kwargs": {"width": 4}},
    "optimizers": ["sam", "msgd"],
    "search": {"learning_rate": [0.1, 0.01], "weight_decay": [0]},
    "training": {"epochs": 2, "batch_size": 64, "augmentation": "none"},
    "curvature": None,
    "tags": {"owner": "vision"},
}


class MlflowServer:
    """``mlflow server`` on SQLite, in a process group of its own."""

    def __init__(self, folder: Path, artifacts: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._artifacts = artifacts or str(folder / "artifacts")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; does not wait."""
        command = [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"),
            *("--artifacts-destination", self._artifacts, "--serve-artifacts"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
        ]
        self._process = subprocess.Popen(
            command,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def await_health(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):  # noqa: S310
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server never answered")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _ENVIRONMENT.items():
            environment.setenv(name, value)
        server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
        server.start()
        server.await_health()
        yield server
        server.kill()


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
            specification=validate_spec(SPEC | {"name": sweep} | changes),
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


def start_driver(job: DriverJob, cluster: str, log: Path) -> subprocess.Popen[bytes]:
    """A driver in a process of its own, as Ray starts one; what it says goes to a file."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "workers.driver"],
            env=os.environ | {JOB_VARIABLE: job.model_dump_json(), "RAY_ADDRESS": cluster},
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def deliver(job: DriverJob, journal: Journal) -> None:
    """Deliver what is journalled and not delivered yet."""
    writer = MlflowWriter(job, journal, {"sasam.version.test": "1"})
    writer.start()
    writer.close()


def runs_of(client: MlflowClient, job: DriverJob, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """The runs of a sweep."""
    experiment = client.get_experiment_by_name(job.specification.name)
    condition = f"tags.`sasam.sweep` = '{job.sweep_id}'"
    return list(client.search_runs([experiment.experiment_id], condition, view))


def trial_runs(client: MlflowClient, job: DriverJob) -> dict[str, Run]:
    """The runs of a sweep's trials by key; exactly one each."""
    runs = [run for run in runs_of(client, job) if run.data.tags["sasam.kind"] == "trial"]
    by_key = {run.data.tags["sasam.trial"]: run for run in runs}
    assert len(by_key) == len(runs)
    return by_key


def histories(client: MlflowClient, run: Run) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every metric, as often as it is stored."""
    return {
        name: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }


def artifact(client: MlflowClient, run: Run, name: str, folder: Path) -> str:
    """The text of an artifact."""
    return Path(client.download_artifacts(run.info.run_id, name, str(folder))).read_text()


def artifact_json(client: MlflowClient, run: Run, name: str, folder: Path) -> Any:
    return json.loads(artifact(client, run, name, folder))
