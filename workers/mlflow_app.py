"""MLflow's server with one more route: many finished runs in one transaction.

    mlflow server --app-name sasam
    POST /api/2.0/sasam/finished-runs   {"experiment_id": ..., "runs": [...]}  ->  {}

MLflow's own API takes at least three requests and three transactions for a run, about 60 ms of a
processor, which is as long as a short trial trains. Here a run costs one to two. The rows are those
that MLflow's own requests would leave; a server without this route gets those requests.

The file imports nothing else of this package, so that a server needs it alone.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from fastapi import APIRouter, Response
from mlflow.entities import Experiment, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.server.fastapi_app import app
from mlflow.server.handlers import _get_artifact_repo_mlflow_artifacts, _get_tracking_store
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.dbmodels.models import (
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.validation import _validate_batch_log_data
from pydantic import BaseModel, Field
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

__all__ = ["FINISHED_RUNS_PATH", "FinishedRun", "FinishedRuns", "app"]

FINISHED_RUNS_PATH = "/api/2.0/sasam/finished-runs"
_PROXIED = "mlflow-artifacts:/"
_router = APIRouter()


class FinishedRun(BaseModel):
    """A run that has ended.

    Args:
        run_id: Its id, 32 hexadecimal digits.
        name: Its name.
        status: MLflow's status of the end.
        start_time, end_time: Milliseconds since 1970.
        tags, params: Texts by name.
        metrics: (name, value, time in milliseconds since 1970, step) of every finite value.
        files: Texts of artifacts by file name.
    """

    run_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    name: str
    status: Literal["FINISHED", "FAILED", "KILLED"]
    start_time: int
    end_time: int
    tags: dict[str, str]
    params: dict[str, str]
    metrics: list[tuple[str, float, int, int]]
    files: dict[str, str]


class FinishedRuns(BaseModel):
    """Finished runs of one experiment."""

    experiment_id: str
    runs: list[FinishedRun]


@_router.post(FINISHED_RUNS_PATH)
def create_finished_runs(request: FinishedRuns) -> Response:
    """Create all of the runs or none: 409 if one exists already, 400 if MLflow refuses a value."""
    store = _get_tracking_store()
    if not isinstance(store, SqlAlchemyStore):
        return Response(status_code=HTTPStatus.NOT_FOUND)
    try:
        experiment = store.get_experiment(request.experiment_id)
        store._check_experiment_is_active(experiment)
        rows = _rows(request, experiment)
        _store_files(request, experiment)
        with store.ManagedSessionMaker(read_only=False) as session:
            for table, values in rows.items():
                if values:
                    session.execute(insert(table), values)
            session.flush()
    except MlflowException as error:
        if isinstance(error.__cause__, IntegrityError):
            return Response(str(error), HTTPStatus.CONFLICT)
        return Response(error.serialize_as_json(), error.get_http_status_code())
    return Response("{}", media_type="application/json")


def _rows(request: FinishedRuns, experiment: Experiment) -> dict[Any, list[dict[str, Any]]]:
    """The rows of MLflow's tables, in the order of their foreign keys."""
    rows: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (SqlRun, SqlTag, SqlParam, SqlMetric, SqlLatestMetric)
    }
    for run in request.runs:
        metrics, params, tags = _validate_batch_log_data(
            list({Metric(*value): None for value in run.metrics}),
            [Param(*item) for item in run.params.items()],
            [RunTag(*item) for item in (run.tags | {"mlflow.runName": run.name}).items()],
        )
        rows[SqlRun].append(_run_row(run, request, experiment))
        rows[SqlTag] += (_text_row(run, tag) for tag in tags)
        rows[SqlParam] += (_text_row(run, param) for param in params)
        rows[SqlMetric] += (_metric_row(run, metric) for metric in metrics)
        latest = {m.key: m for m in sorted(metrics, key=lambda m: (m.step, m.timestamp, m.value))}
        rows[SqlLatestMetric] += (_metric_row(run, metric) for metric in latest.values())
    return rows


def _run_row(run: FinishedRun, request: FinishedRuns, experiment: Experiment) -> dict[str, Any]:
    """The row of a run, as MLflow's store fills it."""
    return {
        "run_uuid": run.run_id,
        "name": run.name,
        "experiment_id": int(request.experiment_id),
        "artifact_uri": _artifact_uri(run, experiment),
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "source_version": "",
        "user_id": "unknown",  # as MLflow's client records it
        "status": run.status,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "lifecycle_stage": "active",
    }


def _text_row(run: FinishedRun, item: Param | RunTag) -> dict[str, Any]:
    return {"run_uuid": run.run_id, "key": item.key, "value": item.value}


def _metric_row(run: FinishedRun, metric: Metric) -> dict[str, Any]:
    return {
        "run_uuid": run.run_id,
        "key": metric.key,
        "value": metric.value,
        "timestamp": metric.timestamp,
        "step": metric.step,
        "is_nan": False,
    }


def _artifact_uri(run: FinishedRun, experiment: Experiment) -> str:
    return f"{experiment.artifact_location.rstrip('/')}/{run.run_id}/artifacts"


def _store_files(request: FinishedRuns, experiment: Experiment) -> None:
    """Store the artifacts of all runs, below the experiment's folder."""
    location = experiment.artifact_location
    if location.startswith(_PROXIED):
        repository = _get_artifact_repo_mlflow_artifacts()
        folder = location.removeprefix(_PROXIED).strip("/")
    else:
        repository, folder = get_artifact_repository(location), None
    with TemporaryDirectory() as scratch:
        for run in request.runs:
            if run.files:
                artifacts = Path(scratch, run.run_id, "artifacts")
                artifacts.mkdir(parents=True)
                for name, text in run.files.items():
                    (artifacts / Path(name).name).write_text(text, encoding="utf-8")
        repository.log_artifacts(scratch, folder)


app.router.routes[:0] = _router.routes  # before the last route, which takes all paths
