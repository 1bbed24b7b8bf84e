"""Start drivers, deliver journals, and read what arrived in MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from workers.delivery import MlflowWriter
from workers.job import JOB_VARIABLE, DriverJob
from workers.journal import Journal

__all__ = [
    "ROOT",
    "artifact",
    "artifact_json",
    "deliver",
    "histories",
    "runs_of",
    "start_driver",
    "trial_runs",
]

ROOT = Path(__file__).parents[2]


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
