"""The MLflow runs of one sweep: found by their tags, created or restored, written to.

Every write can be repeated: a run is looked up before it is created.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from requests import HTTPError

from workers.hyperparameter_text import axis_titles, value_text
from workers.job import DriverJob
from workers.mlflow_schema import RUNNING, Artifact, RunKind, Tag, identity_tags, run_filter
from workers.spec import TrialConfig

__all__ = ["FinishedTrial", "SweepRuns", "is_refusal"]

log = logging.getLogger(__name__)

_MAX_ITEMS = 1_000
"""Metrics, parameters and tags that one call of MLflow's log-batch accepts."""
_ARTIFACT_TIMEOUT_SECONDS = 600.0
"""How long delivery waits for an artifact store that fails while MLflow itself answers."""
_MAX_NAME_CHARACTERS = 250
"""MLflow's limit for the name of a run."""
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow's UI open the experiment as training of models, not as generative AI."""
_INVALID = frozenset({"BAD_REQUEST", "INVALID_PARAMETER_VALUE"})
_REFUSED = _INVALID | {"INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"}
_FINISHED_RUNS = "/api/2.0/sasam/finished-runs"
"""Route of `workers.mlflow_app`."""
_FINISHED_RUNS_TIMEOUT_SECONDS = 120
"""It stores the artifacts of a hundred trials; MLflow's own requests store one at a time."""
_MAY_BE_CARRIED_OUT = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
"""Answers of a proxy, or of MLflow without its database, that leave open what happened."""


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """All that is recorded of a trial that has ended.

    Args:
        trial: The trial.
        position: Its position in the sweep.
        attempt: Number of the driver that ran it.
        start_time_ms, end_time_ms: Milliseconds since 1970.
        status: MLflow's status of the end.
        items: Metrics, parameters and tags.
        files: Artifacts.
    """

    trial: TrialConfig
    position: int
    attempt: int
    start_time_ms: int
    end_time_ms: int
    status: str
    items: Sequence[Metric | Param | RunTag]
    files: Mapping[Artifact, str]


class SweepRuns:
    """The experiment, the parent run and the trial runs of a sweep.

    Args:
        job: The driver's job: the sweep, its tracking server, the attempt.
        tags: Tags of every run, such as library versions.
    """

    def __init__(self, job: DriverJob, tags: Mapping[str, str]) -> None:
        self._job = job
        self._tags = {**job.specification.tags, **tags, Tag.SWEEP.value: job.sweep_id}
        self._client = MlflowClient(job.mlflow_tracking_uri)
        self._experiment_id = ""
        self._run_ids: dict[str, str] = {}
        self._deleted: set[str] = set()
        self._artifacts_fail_since: float | None = None
        self._takes_finished = True
        self._is_conflict = False
        self.parent_id = ""
        """Id of the sweep's own run; empty before `look_up`."""
        self.drops_refused = False
        """Whether what MLflow refuses is left out with a warning instead of raising."""

    def look_up(self, *, before_create: Callable[[], None]) -> None:
        """Find the runs of the sweep; create the experiment and the parent run if missing.

        Args:
            before_create: Called before a new parent run is created.
        """
        runs = self.find()
        self._run_ids = {key: run.info.run_id for key, run in runs.items()}
        self._deleted = {run.info.run_id for run in runs.values() if not _is_active(run)}
        parent_id = self.usable("")
        if not parent_id:
            before_create()
            parent_id = self._create_parent()
        self._client.update_run(parent_id, status=RUNNING)
        self.log(parent_id, [RunTag(Tag.ATTEMPT, str(self._job.attempt))])
        self.parent_id = parent_id

    def find(self) -> dict[str, Run]:
        """Runs by trial key, deleted ones too; the parent run has the empty key.

        A create request whose answer was lost leaves a second run of a trial: the one with fewer
        metrics is deleted.
        """
        self._experiment_id = self._find_experiment()
        found: dict[str, list[Run]] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                run_filter(self._job.sweep_id),
                ViewType.ALL,
                max_results=1_000,
                page_token=token,
            )
            for run in page:
                found.setdefault(run.data.tags.get(Tag.TRIAL, ""), []).append(run)
            token = page.token
            if not token:
                break
        for runs in found.values():
            runs.sort(key=lambda run: (_is_active(run), len(run.data.metrics)), reverse=True)
            for other in filter(_is_active, runs[1:]):
                self._client.delete_run(other.info.run_id)
        return {key: runs[0] for key, runs in found.items()}

    def usable(self, key: str) -> str:
        """Id of the run of a trial, restored if it was deleted; empty if there is none."""
        run_id = self._run_ids.get(key, "")
        if run_id in self._deleted:
            self._client.restore_run(run_id)
            self._deleted.remove(run_id)
        return run_id

    def create(self, trial: TrialConfig, position: int, attempt: int, start_time_ms: int) -> str:
        """Create the run of a trial; returns its id."""
        run = self._client.create_run(
            self._experiment_id,
            start_time=start_time_ms,
            run_name=self._name(trial),
            tags=self._tags_of(trial, position, attempt),
        )
        self._run_ids[trial.key] = str(run.info.run_id)
        return self._run_ids[trial.key]

    def create_finished(self, trials: Sequence[FinishedTrial]) -> bool:
        """Create the runs of trials that have ended, all in one transaction.

        Args:
            trials: Trials without a run.

        Returns:
            Whether the runs were created. Otherwise the server is not `workers.mlflow_app`, it
            refuses a value or cannot store a file, or a run exists that a search for the sweep's
            runs does not find, such as one whose tags a user changed: create one run at a time.

        Raises:
            MlflowException: The runs may exist, and must be looked up.
        """
        if not (trials and self._takes_finished):
            return False
        runs = [self._finished(finished) for finished in trials]
        answer = http_request(
            get_default_host_creds(self._job.mlflow_tracking_uri),
            _FINISHED_RUNS,
            "POST",
            timeout=_FINISHED_RUNS_TIMEOUT_SECONDS,
            raise_on_status=False,
            json={"experiment_id": self._experiment_id, "runs": runs},
        )
        if answer.status_code in _MAY_BE_CARRIED_OUT:
            raise MlflowException(f"status {answer.status_code} for finished runs")
        was_conflict = self._is_conflict
        self._is_conflict = answer.status_code == HTTPStatus.CONFLICT
        if self._is_conflict and not was_conflict:
            raise MlflowException("a run exists already: an answer was lost")
        if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            self._takes_finished = False
        if not answer.ok:
            return False
        self._run_ids |= {
            finished.trial.key: str(run["run_id"])
            for finished, run in zip(trials, runs, strict=True)
        }
        return True

    def _finished(self, finished: FinishedTrial) -> dict[str, Any]:
        """A finished run for `workers.mlflow_app`.

        Its id follows from the sweep's run and the trial, so that no repetition creates a second
        run. After the sweep's run is lost, all runs are new.
        """
        trial, items = finished.trial, finished.items
        identity = f"{self.parent_id}/{trial.key}".encode()
        tags = self._tags_of(trial, finished.position, finished.attempt)
        return {
            "run_id": hashlib.blake2b(identity, digest_size=16).hexdigest(),
            "name": self._name(trial),
            "status": finished.status,
            "start_time": finished.start_time_ms,
            "end_time": finished.end_time_ms,
            "tags": tags | {item.key: item.value for item in items if isinstance(item, RunTag)},
            "params": {item.key: item.value for item in items if isinstance(item, Param)},
            "metrics": [
                (item.key, item.value, item.timestamp, item.step)
                for item in items
                if isinstance(item, Metric)
            ],
            "files": {name.value: text for name, text in finished.files.items()},
        }

    def _tags_of(self, trial: TrialConfig, position: int, attempt: int) -> dict[str, str]:
        """The tags of the run of a trial when it is created."""
        axes = self._job.specification.axes(trial.optimizer_label)
        own = {"mlflow.parentRunId": self.parent_id, Tag.ATTEMPT.value: str(attempt)}
        return self._tags | identity_tags(trial, position, axes) | own

    def _name(self, trial: TrialConfig) -> str:
        """Name of a trial's run."""
        return _run_name(trial, self._job.specification.axes(trial.optimizer_label))

    def reopen(self, run_id: str) -> None:
        """Set a run to running."""
        self._client.update_run(run_id, status=RUNNING)

    def end(self, run_id: str, status: str, time_ms: int) -> None:
        """End a run with one of MLflow's statuses."""
        self._client.set_terminated(run_id, status, time_ms)

    def metric_history(self, run_id: str, metric: str) -> list[Metric]:
        """All values of a metric of a run."""
        history: list[Metric] = self._client.get_metric_history(run_id, metric)
        return history

    def log(self, run_id: str, items: Sequence[Metric | Param | RunTag]) -> None:
        """Write to a run in few calls; halves a batch that is too large or holds a refused item."""
        if len(items) <= _MAX_ITEMS:
            try:
                self._client.log_batch(
                    run_id,
                    metrics=[item for item in items if isinstance(item, Metric)],
                    params=[item for item in items if isinstance(item, Param)],
                    tags=[item for item in items if isinstance(item, RunTag)],
                )
            except MlflowException as error:
                if error.error_code not in _INVALID or not self.drops_refused:
                    raise
                if len(items) == 1:
                    log.warning("MLflow refuses %s, left out: %s", items[0], error)
                    return
            else:
                return
        half = len(items) // 2
        self.log(run_id, items[:half])
        self.log(run_id, items[half:])

    def store(self, run_id: str, name: Artifact, text: str) -> None:
        """Write an artifact; one that cannot be stored for long is left out with a warning."""
        try:
            self._client.log_text(run_id, text, name.value)
        except Exception as error:
            now = time.monotonic()
            self._artifacts_fail_since = self._artifacts_fail_since or now
            is_refused = self.drops_refused and is_refusal(error)
            if not is_refused and now - self._artifacts_fail_since < _ARTIFACT_TIMEOUT_SECONDS:
                raise
            log.warning("the artifact %s of run %s is left out: %s", name, run_id, error)
        else:
            self._artifacts_fail_since = None

    def _find_experiment(self) -> str:
        """Id of the sweep's experiment, created or restored if need be."""
        name = self._job.specification.name
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name, tags=_EXPERIMENT_TAGS))
            except MlflowException:  # another sweep of this name created it in the meantime
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _create_parent(self) -> str:
        run = self._client.create_run(
            self._experiment_id,
            run_name=f"{self._job.specification.name} {self._job.sweep_id}",
            tags=self._tags | {Tag.KIND.value: RunKind.SWEEP.value},
        )
        return str(run.info.run_id)


def is_refusal(error: Exception) -> bool:
    """Whether MLflow received a request and refused it; any other error may be temporary."""
    if isinstance(error, MlflowException):
        return error.error_code in _REFUSED
    if isinstance(error, HTTPError) and error.response is not None:  # from the artifact store
        return bool(error.response.status_code < 500)
    return not isinstance(error, OSError)


def _is_active(run: Run) -> bool:
    return bool(run.info.lifecycle_stage == "active")


def _run_name(trial: TrialConfig, axes: Iterable[str]) -> str:
    """Name of a trial's run: its optimizer, its value of each axis, its seed."""
    values = trial.values_of(axes)
    named = (
        f"{title}={value_text(values[name])}"
        for name, title in axis_titles(axes, short=True).items()
    )
    return " ".join([trial.optimizer_label, *named, f"seed={trial.seed}"])[:_MAX_NAME_CHARACTERS]
