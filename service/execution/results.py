"""What MLflow says of a sweep's trials."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from requests import RequestException

from service.first_line import first_line
from workers.metrics import Outcome

__all__ = ["MlflowResults", "MlflowUnavailableError", "SweepRecord", "SweepRun", "TrialRun"]

_EXPERIMENTS_A_SEARCH = 100
_RUNS_A_SEARCH = 100


class MlflowUnavailableError(RuntimeError):
    """MLflow does not answer, or refuses to."""


@dataclass(frozen=True, slots=True)
class SweepRun:
    """The MLflow run of a sweep."""

    experiment_id: str
    run_id: str
    classes: int | None


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """All that MLflow knows of a sweep, but for its specification.

    Args:
        sweep_id: The sweep.
        run: Its run.
        status: MLflow's word for where the run stands.
        attempt: Number of its latest driver.
        started_at: When its first driver made the run.
        ended_at: When it ended; None while it runs.
    """

    sweep_id: str
    run: SweepRun
    status: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class TrialRun:
    """The MLflow run of a trial.

    Args:
        key: The trial's key.
        run_id: MLflow's id.
        values: Columns of the trial's row.
        identity: Columns that say which trial it is; None before they have all arrived.
        ended_at: When it ended, None while it runs.
    """

    key: str
    run_id: str
    values: dict[str, Any]
    ended_at: datetime | None
    identity: dict[str, Any] | None = None


class MlflowResults:
    """Reads the runs of sweeps.

    Args:
        tracking_uri: MLflow's address.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._client = MlflowClient(tracking_uri)

    def ping(self) -> None:
        """Ask for a sign of life.

        Raises:
            MlflowUnavailableError: There is none.
        """
        try:
            self._client.search_experiments(max_results=1)
        except MlflowException as error:
            raise self._unavailable(error) from error

    def sweep_run(self, name: str, sweep_id: str) -> SweepRun | None:
        """The run of a sweep; None before its driver has made it.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                return None
            condition = f"tags.`sasam.sweep` = '{sweep_id}' and tags.`sasam.kind` = 'sweep'"
            runs = self._client.search_runs([experiment.experiment_id], condition, max_results=1)
        except MlflowException as error:
            raise self._unavailable(error) from error
        return _sweep_run(runs[0]) if runs else None

    def sweeps(self) -> Iterator[SweepRecord]:
        """Every sweep that has a run.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        experiments = self._experiments()
        while chunk := list(islice(experiments, _EXPERIMENTS_A_SEARCH)):
            for run in self._search(chunk, "tags.`sasam.kind` = 'sweep'"):
                yield _sweep_record(run)

    def trial_runs(
        self, experiment_id: str, sweep_id: str, *, since: datetime | None = None
    ) -> Iterator[TrialRun]:
        """Runs that go on, and those that ended at ``since`` or later.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        mine = f"tags.`sasam.sweep` = '{sweep_id}' and tags.`sasam.kind` = 'trial'"
        if since is None:
            yield from map(_trial_run, self._search([experiment_id], mine))
            return
        moment = int(since.timestamp() * 1000)
        ended = f"{mine} and attributes.end_time >= {moment}"
        running = f"{mine} and attributes.status = 'RUNNING'"
        yield from map(_trial_run, self._search([experiment_id], ended))
        yield from map(_trial_run, self._search([experiment_id], running))

    def runs(self, experiment_id: str, run_ids: Sequence[str]) -> list[TrialRun]:
        """The runs of some trials; those that are deleted are left out.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        found: list[TrialRun] = []
        for at in range(0, len(run_ids), _RUNS_A_SEARCH):
            names = ", ".join(f"'{run_id}'" for run_id in run_ids[at : at + _RUNS_A_SEARCH])
            condition = f"attributes.run_id IN ({names})"
            found += map(_trial_run, self._search([experiment_id], condition))
        return found

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """(epoch, value) of a metric of a run.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            values = self._client.get_metric_history(run_id, metric)
        except MlflowException as error:
            raise self._unavailable(error) from error
        return sorted((value.step, value.value) for value in values if _is_finite(value.value))

    def artifact_text(self, run_id: str, name: str) -> str | None:
        """A text artifact of a run; None when it has none of that name.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            if all(artifact.path != name for artifact in self._client.list_artifacts(run_id)):
                return None
            with TemporaryDirectory() as folder:
                return Path(self._client.download_artifacts(run_id, name, folder)).read_text()
        except (MlflowException, RequestException) as error:
            raise self._unavailable(error) from error

    def run_tag(self, run_id: str, name: str) -> str | None:
        """A tag of a run; None when it has none of that name.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            value: str | None = self._client.get_run(run_id).data.tags.get(name)
        except MlflowException as error:
            raise self._unavailable(error) from error
        return value

    def tag_run(self, run_id: str, name: str, value: str) -> None:
        """Give a run a tag.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            self._client.set_tag(run_id, name, value)
        except MlflowException as error:
            raise self._unavailable(error) from error

    def log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Store files, by name, as artifacts of a run; those of the same name are replaced.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            with TemporaryDirectory() as folder:
                for name, content in files.items():
                    path = Path(folder, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                self._client.log_artifacts(run_id, folder)
        except (MlflowException, RequestException) as error:
            raise self._unavailable(error) from error

    def close_runs(self, experiment_id: str, sweep_id: str, status: str) -> None:
        """End the runs that a driver left open: the trials as cancelled, the sweep as told.

        Args:
            experiment_id: The sweep's experiment.
            sweep_id: The sweep.
            status: ``FAILED`` or ``KILLED``, for the sweep's own run.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        condition = f"tags.`sasam.sweep` = '{sweep_id}' and attributes.status = 'RUNNING'"
        try:
            for run in list(self._search([experiment_id], condition)):
                is_trial = run.data.tags.get("sasam.kind") == "trial"
                if is_trial:
                    self._client.set_tag(run.info.run_id, "sasam.outcome", Outcome.CANCELLED)
                self._client.set_terminated(run.info.run_id, "KILLED" if is_trial else status)
        except MlflowException as error:
            raise self._unavailable(error) from error

    def _experiments(self) -> Iterator[str]:
        token = None
        while True:
            try:
                page = self._client.search_experiments(max_results=1_000, page_token=token)
            except MlflowException as error:
                raise self._unavailable(error) from error
            yield from (experiment.experiment_id for experiment in page)
            token = page.token
            if not token:
                return

    def _search(self, experiment_ids: list[str], condition: str) -> Iterator[Run]:
        token = None
        while True:
            try:
                page = self._client.search_runs(
                    experiment_ids, condition, ViewType.ACTIVE_ONLY, 1_000, page_token=token
                )
            except MlflowException as error:
                raise self._unavailable(error) from error
            yield from page
            token = page.token
            if not token:
                return

    def _unavailable(self, error: Exception) -> MlflowUnavailableError:
        reason = first_line(error)[:300]
        return MlflowUnavailableError(f"MLflow does not answer at {self._uri}: {reason}")


def _sweep_run(run: Run) -> SweepRun:
    classes = run.data.tags.get("sasam.classes")
    return SweepRun(run.info.experiment_id, run.info.run_id, int(classes) if classes else None)


def _sweep_record(run: Run) -> SweepRecord:
    tags = run.data.tags
    is_over = run.info.status != "RUNNING"
    return SweepRecord(
        sweep_id=tags["sasam.sweep"],
        run=_sweep_run(run),
        status=run.info.status,
        attempt=int(tags.get("sasam.attempt", 1)),
        started_at=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        ended_at=_moment(run.info.end_time) if is_over else None,
    )


def _trial_run(run: Run) -> TrialRun:
    """A run as the columns of a trial's row."""
    tags = run.data.tags
    is_over = run.info.status != "RUNNING"
    ended_at = _moment(run.info.end_time) if is_over else None
    metrics = {name: value for name, value in run.data.metrics.items() if _is_finite(value)}
    values = {
        "mlflow_run_id": run.info.run_id,
        "outcome": tags.get("sasam.outcome") if is_over else None,
        "error": tags.get("sasam.error") if is_over else None,
        "epoch": int(metrics.pop("epoch", 0)),
        "metrics": metrics,
        "attempt": int(tags.get("sasam.attempt", 0)),
        "started_at": _moment(run.info.start_time),
        "ended_at": ended_at,
    }
    return TrialRun(tags.get("sasam.trial", ""), run.info.run_id, values, ended_at, _identity(run))


def _identity(run: Run) -> dict[str, Any] | None:
    """Which trial a run is of, by its tags and params."""
    tags, params = run.data.tags, run.data.params
    try:
        return {
            "position": int(tags["sasam.position"]),
            "optimizer": tags["sasam.optimizer"],
            "optimizer_name": params["optimizer.name"],
            "learning_rate": float(params["learning_rate"]),
            "weight_decay": float(params["weight_decay"]),
            "seed": int(params["seed"]),
        }
    except KeyError:  # the run is new, or of an earlier release
        return None


def _is_finite(value: float) -> bool:
    """Whether a metric is a number; MLflow stores an infinite one as the largest float."""
    return abs(value) < sys.float_info.max


def _moment(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC)
