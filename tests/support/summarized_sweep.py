"""A service whose sweep has its runs in a real MLflow server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from mlflow import MlflowClient
from mlflow.entities import Metric

from service.app import create_app
from service.settings import Settings
from service.storage import Database
from service.sweeps.repository import SweepRepository
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from workers.spec import TrialConfig, load_spec

from .running_service import offline_settings

__all__ = ["Detailed", "MakeSweep", "detailed", "make_sweep"]

EPOCHS = 3
COSTS = {"sa-sam": 3, "msgd": 1}
MATRIX = {"fog": [0.8, 0.6], "snow": [0.7, 0.5]}
SPECIFICATION = """
name: detailed
dataset: digits
ood: {corruptions: [fog, snow], severities: [1, 5], images: 100}
model: cnn-tiny
optimizers: [sa-sam, msgd]
search: {learning_rate: [0.01, 0.1], weight_decay: [0, 1.0e-6, 1.0e-4]}
training: {epochs: 3, batch_size: 64, augmentation: none}
curvature: null
"""


@dataclass
class Detailed:
    """A service with one completed sweep.

    Attributes:
        client: Speaks to the service.
        database: Its database.
        mlflow: Speaks to MLflow.
        uri: MLflow's address.
        sweep_id: The sweep.
        run_id: Its MLflow run.
    """

    client: TestClient
    database: Database
    mlflow: MlflowClient
    uri: str
    sweep_id: str
    run_id: str

    def get(self, path: str, **params: Any) -> Any:
        """An answer about the sweep."""
        return self.client.get(f"/api/v1/sweeps/{self.sweep_id}{path}", params=params or None)


@pytest.fixture(scope="session")
def detailed(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detailed]:
    settings = offline_settings(tmp_path_factory.mktemp("home"), mlflow_tracking_uri=mlflow_uri)
    app = create_app(settings)
    with TestClient(app) as client:
        mlflow = MlflowClient(mlflow_uri)
        experiment = mlflow.create_experiment(f"detailed {uuid4().hex}")
        tags = {"mlflow.source.git.commit": "0abc123"}
        run_id = mlflow.create_run(experiment, tags=tags).info.run_id
        specification = load_spec(SPECIFICATION)
        sweep, _ = SweepService(app.state.services.database, settings).submit(specification)
        with app.state.services.database.transaction() as session:
            row = SweepRepository(session).get(sweep.sweep_id)
            row.mlflow_experiment_id, row.mlflow_run_id = experiment, run_id
            for position, trial in enumerate(specification.trials):
                values = log_trial(mlflow, experiment, trial, position)
                TrialRepository(session).record(sweep.sweep_id, trial.key, values)
        yield Detailed(
            client, app.state.services.database, mlflow, mlflow_uri, sweep.sweep_id, run_id
        )


def log_trial(
    mlflow: MlflowClient, experiment: str, trial: TrialConfig, position: int
) -> dict[str, Any]:
    """Log a trial as a driver does; returns its row. The last one diverges in its first epoch."""
    run_id = mlflow.create_run(experiment).info.run_id
    common = {"mlflow_run_id": run_id, "attempt": 1, "ended_at": datetime.now(UTC)}
    if position == 11:
        mlflow.set_terminated(run_id)
        return common | {"outcome": "diverged", "epoch": 0, "metrics": {}}
    cost = COSTS[trial.optimizer_label]
    best = 0.6 + 0.02 * position
    curves = {
        "gradient_evaluations": [100.0 * cost * (epoch + 1) for epoch in range(EPOCHS)],
        "val_accuracy": [best - 0.1 * (EPOCHS - 1 - epoch) for epoch in range(EPOCHS)],
        "train_loss": [2.0 - 0.5 * epoch for epoch in range(EPOCHS)],
    }
    metrics = [
        Metric(name, value, 0, epoch + 1)
        for name, values in curves.items()
        for epoch, value in enumerate(values)
    ]
    mlflow.log_batch(run_id, metrics)
    mlflow.log_dict(run_id, MATRIX, "ood_matrix.json")
    mlflow.set_terminated(run_id)
    latest = {name: values[-1] for name, values in curves.items()}
    latest |= {"ood_accuracy": best - 0.1, "ood_accuracy.fog": 0.7, "ood_accuracy.snow": 0.6}
    return common | {"outcome": "completed", "epoch": EPOCHS, "metrics": latest}


class MakeSweep:
    """Stores small sweeps in the service's database; MLflow knows nothing of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(
        self,
        name: str,
        *,
        outcome: str | None = "completed",
        model: str = "cnn-tiny",
        run_id: str | None = None,
    ) -> str:
        """Store one whose trials, all but the last, ended so."""
        text = SPECIFICATION.replace("detailed", name).replace("cnn-tiny", model)
        specification = load_spec(text)
        sweep, _ = SweepService(self._database, Settings()).submit(specification)
        with self._database.transaction() as session:
            for position, trial in enumerate(specification.trials[:-1]):
                accuracy = 0.5 + 0.03 * position
                metrics = {"val_accuracy": accuracy, "ood_accuracy": accuracy - 0.1}
                values = {
                    "outcome": outcome,
                    "metrics": metrics if outcome == "completed" else {},
                    "mlflow_run_id": run_id,
                }
                TrialRepository(session).record(sweep.sweep_id, trial.key, values)
        return sweep.sweep_id

    def end(self, sweep_id: str, outcome: str) -> None:
        """End the last trial."""
        with self._database.transaction() as session:
            trials = TrialRepository(session)
            key = trials.of_sweep(sweep_id)[-1].key
            trials.record(sweep_id, key, {"outcome": outcome})


@pytest.fixture
def make_sweep(detailed: Detailed) -> MakeSweep:
    return MakeSweep(detailed.database)
