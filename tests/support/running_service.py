"""A real service: uvicorn on a free port, SQLite in a folder, neither Ray nor MLflow behind it."""

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
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition
from service.trials.repository import TrialRepository
from workers.spec import SweepSpec, load_spec

from .ports import closed_url, free_port
from .specifications import SMALL

__all__ = [
    "Service",
    "offline_settings",
    "serve",
    "service",
    "specification",
    "start_service",
]


def offline_settings(home: Path, **values: Any) -> Settings:
    """Settings of a service that changes nothing by itself; Ray and MLflow refuse connections."""
    closed = closed_url()
    given: dict[str, Any] = {
        "home": home,
        "ray_address": closed,
        "mlflow_tracking_uri": closed,
        "reconcile_seconds": 3600,  # tests play the reconciler
    }
    return Settings(**given | values)


@contextmanager
def serve(settings: Settings) -> Iterator[FastAPI]:
    """Run the service on ``settings.port`` in a thread until the block ends."""
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=settings.port, log_level="warning"))
    started = threading.Event()
    startup = server.startup

    async def announce(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = announce  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(60)
    yield app
    server.should_exit = True
    thread.join()


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        url: Its address.
        database: Its database; tests play the reconciler in it.
        storage: Its folder of checkpoints.
    """

    url: str
    database: Database
    storage: Path

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
        """Bring a queued sweep to its end, with a result for every trial."""
        self.end_trials(sweep_id, specification or load_spec(SMALL), **failed)
        states = (SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING, SweepState.COMPLETED)
        self.move(sweep_id, *states)


@contextmanager
def run_service(home: Path, **values: Any) -> Iterator[Service]:
    """A running service with its files in ``home``."""
    settings = offline_settings(home, port=free_port(), **values)
    with serve(settings) as app:
        storage = Path(settings.resolved_storage_path)
        yield Service(f"http://127.0.0.1:{settings.port}", app.state.services.database, storage)


@pytest.fixture(scope="session")
def start_service() -> Callable[..., AbstractContextManager[Service]]:
    """Start a service with settings of the test's own."""
    return run_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests of this process; each makes its own sweeps."""
    with run_service(tmp_path_factory.mktemp("home")) as started:
        yield started


@pytest.fixture
def specification() -> str:
    """A sweep of eight trials, as YAML."""
    return SMALL
