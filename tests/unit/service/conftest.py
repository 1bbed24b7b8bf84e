"""A real service: uvicorn on a free port, SQLite in a folder, no cluster behind it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.app import create_app
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition
from service.trials.repository import TrialRepository
from workers.spec import SweepSpec, load_spec

SPECIFICATION = """
name: small
dataset: digits
ood: {corruptions: [fog], severities: [1], images: 100}
model: cnn-tiny
optimizers: [sa-sam, msgd]
search: {learning_rate: [0.01, 0.1], weight_decay: [0, 1.0e-4]}
training: {epochs: 2, batch_size: 64, augmentation: none}
curvature: null
"""


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        url: Its address.
        database: Its database; tests play the reconciler in it.
    """

    url: str
    database: Database

    def move(self, sweep_id: str, *states: SweepState, reason: str | None = None) -> None:
        """Bring a sweep from the first state through the others."""
        with self.database.transaction() as session:
            for before, after in pairwise(states):
                values = {"started_at": datetime.now(UTC)} if after is SweepState.RUNNING else {}
                last = {"reason": reason} if after is states[-1] else {}
                assert transition(session, sweep_id, before, after, **values, **last)

    def end_trials(self, sweep_id: str, specification: SweepSpec, **failed: str) -> None:
        """Give every trial a result; ``failed`` maps an optimizer to another outcome."""
        with self.database.transaction() as session:
            for position, trial in enumerate(specification.trials):
                outcome = failed.get(trial.optimizer_label.replace("-", "_"), "completed")
                accuracy = 0.5 + 0.05 * (position % 8)
                metrics = {"val_accuracy": accuracy, "ood_accuracy": accuracy - 0.1}
                values = {
                    "outcome": outcome,
                    "epoch": 2,
                    "metrics": metrics if outcome == "completed" else {},
                    "ended_at": datetime.now(UTC),
                }
                TrialRepository(session).record(sweep_id, trial.key, values)

    def complete(
        self, sweep_id: str, *, specification: SweepSpec | None = None, **failed: str
    ) -> None:
        """Play a sweep to its end."""
        self.end_trials(sweep_id, specification or load_spec(SPECIFICATION), **failed)
        states = (SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING, SweepState.COMPLETED)
        self.move(sweep_id, *states)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(home: Path, **values: Any) -> Iterator[Service]:
    """A service in a folder; the tests play the reconciler."""
    port = free_port()
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = Settings(
        home=home,
        port=port,
        ray_address=nowhere,
        mlflow_tracking_uri=nowhere,
        reconcile_seconds=3600,
        **values,
    )
    app = create_app(settings)
    started = threading.Event()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    original_startup = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await original_startup(sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(60)
    yield Service(f"http://127.0.0.1:{port}", app.state.services.database)
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="package")
def start_service() -> Callable[..., AbstractContextManager[Service]]:
    """Starts a service of one's own."""
    return running


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests of this folder; each makes its own sweeps."""
    with running(tmp_path_factory.mktemp("home")) as started:
        yield started


@pytest.fixture
def specification() -> str:
    """A sweep of eight trials, as YAML."""
    return SPECIFICATION
