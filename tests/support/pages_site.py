"""A running service for tests of its pages, with sweeps in any state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from playwright.sync_api import Page

from service.execution.trial_sync import record_runs
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition
from service.sweeps.service import SweepService, require_sweep
from workers.mlflow_schema import TrialRun
from workers.spec import SweepSpec, TrialConfig, load_spec

from .ports import free_port
from .running_service import offline_settings, serve

__all__ = ["Runs", "Site", "look_away_and_back", "serve_site"]

SPECIFICATION = """
name: {name}
dataset: digits
ood: {{corruptions: [fog, frost], severities: [1, 5], images: 100}}
model: cnn-tiny
optimizers: [sa-sam, msgd]
search: {{learning_rate: [0.01, 0.1], weight_decay: [0, 1.0e-4]}}
seeds: [0, 1]
training: {{epochs: 2, batch_size: 64, augmentation: none}}
curvature: {{images: 100}}
"""


@dataclass(frozen=True)
class Site:
    """A running service.

    Attributes:
        url: Its address.
        database: Its database.
        settings: Its settings.
    """

    url: str
    database: Database
    settings: Settings

    def submit(self, name: str, **changes: Any) -> tuple[str, SweepSpec]:
        """A new sweep of 16 trials; returns its id and specification."""
        plain = load_spec(SPECIFICATION.format(name=name)).model_dump(mode="json")
        specification = SweepSpec.model_validate(plain | changes)
        sweep, _ = SweepService(self.database, self.settings).submit(specification)
        return sweep.sweep_id, specification

    def move(self, sweep_id: str, *states: SweepState) -> None:
        """Move a sweep from the first state through the others."""
        with self.database.transaction() as session:
            for before, after in pairwise(states):
                values = {"started_at": datetime.now(UTC)} if after is SweepState.RUNNING else {}
                assert transition(session, sweep_id, before, after, **values)

    def run(self, sweep_id: str) -> None:
        """Move a new sweep to the state "running"."""
        self.move(sweep_id, SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING)

    def start_trial(
        self, sweep_id: str, trial: TrialConfig, accuracy: float = 0.4, **values: Any
    ) -> None:
        """Start a trial, or update a running one."""
        begun = {"outcome": None, "epoch": 1, "metrics": {"val_accuracy": accuracy}}
        self._record(sweep_id, trial, begun | values)

    def end_trial(
        self, sweep_id: str, trial: TrialConfig, accuracy: float | None, **values: Any
    ) -> None:
        """End a trial; it has diverged if there is no accuracy."""
        metrics = {
            "val_accuracy": accuracy,
            "ood_accuracy": (accuracy or 0.2) - 0.1,
            "ood_accuracy.fog": 0.5,
            "hessian_trace.validation": 12.5,
            "hessian_trace_stderr.validation": 0.5,
            "hessian_lambda_max.validation": 3.5,
        }
        ended = {
            "outcome": "completed" if accuracy is not None else "diverged",
            "epoch": 2,
            "metrics": metrics if accuracy is not None else {},
            "ended_at": datetime.now(UTC),
        }
        self._record(sweep_id, trial, ended | values)

    def complete(self, name: str, **changes: Any) -> tuple[str, SweepSpec]:
        """A completed sweep with a result for every trial."""
        sweep_id, specification = self.submit(name, **changes)
        self.run(sweep_id)
        for position, trial in enumerate(specification.trials):
            self.end_trial(sweep_id, trial, 0.9 - 0.01 * position)
        self.move(sweep_id, SweepState.RUNNING, SweepState.COMPLETED)
        return sweep_id, specification

    def _record(self, sweep_id: str, trial: TrialConfig, values: dict[str, Any]) -> None:
        """Record a run as the reconciler does after it has read MLflow."""
        run = {
            "run_id": f"run-{trial.key}",
            "attempt": 1,
            "epoch": 0,
            "metrics": {},
            "started_at": datetime(2026, 1, 1, tzinfo=UTC),
            "ended_at": None,
        }
        values = run | values
        with self.database.transaction() as session:
            require_sweep(session, sweep_id).synced_at = values["ended_at"]
            record_runs(session, sweep_id, [TrialRun(trial.key, **values)])


@contextmanager
def serve_site(home: Path, **changes: Any) -> Iterator[Site]:
    """A running service with its files in ``home``."""
    settings = offline_settings(home, port=free_port(), **changes)
    with serve(settings) as app:
        yield Site(f"http://127.0.0.1:{settings.port}", app.state.services.database, settings)


class Runs:
    """Runs in the MLflow server of a site."""

    def __init__(self, uri: str) -> None:
        self._client = MlflowClient(uri)
        self.experiment: str = self._client.create_experiment("pages")

    def log(self, curves: Mapping[str, Sequence[float]], files: Mapping[str, str]) -> str:
        """A run with one value per epoch and metric, and with text files; returns its id."""
        run_id: str = self._client.create_run(self.experiment).info.run_id
        self._client.log_batch(
            run_id,
            [
                Metric(name, value, 0, epoch)
                for name, values in curves.items()
                for epoch, value in enumerate(values, 1)
            ],
        )
        for name, text in files.items():
            self._client.log_text(run_id, text, name)
        return run_id


def look_away_and_back(page: Page) -> None:
    """Hide the page and show it again, as when the user changes tabs."""
    for hidden in ("true", "false"):
        page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
