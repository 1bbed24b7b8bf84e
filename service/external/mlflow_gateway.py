"""Gateway to MLflow: reads the runs of sweeps, tags them, and stores artifacts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from mlflow.utils.rest_utils import http_request
from requests import RequestException

from service.first_line import first_line
from service.unavailable import MlflowUnavailableError
from workers.metrics import Outcome
from workers.mlflow_schema import (
    RUNNING,
    RunKind,
    Tag,
    TrialRun,
    decode_time,
    is_finite,
    run_filter,
)

__all__ = ["MlflowGateway", "MlflowUnavailableError", "SweepRecord", "SweepRun"]

_SETTING = "SASAM_MLFLOW_TRACKING_URI"
"""The setting with MLflow's address; messages name it in place of the address."""
_EXPERIMENTS_PER_SEARCH = 100
_IDS_PER_SEARCH = 100
_MAX_LEFT_OUT = 1_000
"""Ids that a search leaves out: to parse one costs 0.07 ms, MLflow parses about 3,300."""
_BULK_HISTORY = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_POINTS_PER_ANSWER = 25_000
"""MLflow's limit of an answer with the histories of several runs."""


@dataclass(frozen=True, slots=True)
class SweepRun:
    """The MLflow run of a sweep, and the facts that its driver recorded in it.

    Args:
        experiment_id: MLflow's id of the experiment.
        run_id: MLflow's id of the run.
        classes: Number of classes; None if not recorded yet.
        data_notes: What makes results on the data doubtful, empty if nothing does; None if not
            recorded yet.
        hessian_method: How curvature is measured, ``exact`` or ``differences``; None if it is not
            measured, or not recorded yet.
    """

    experiment_id: str
    run_id: str
    classes: int | None = None
    data_notes: str | None = None
    hessian_method: str | None = None


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """A sweep as MLflow records it, without its specification.

    Args:
        sweep_id: The sweep.
        run: Its run.
        status: MLflow's status of the run.
        attempt: Number of its latest driver.
        started_at: When its first driver created the run.
        ended_at: When it ended; None while it runs.
    """

    sweep_id: str
    run: SweepRun
    status: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None


class MlflowGateway:
    """Reads and writes the runs of sweeps.

    Args:
        tracking_uri: MLflow's address.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._client = MlflowClient(tracking_uri)

    def ping(self) -> None:
        """Check that MLflow answers.

        Raises:
            MlflowUnavailableError: It does not.
        """
        try:
            self._client.search_experiments(max_results=1)
        except MlflowException as error:
            raise self._unavailable(error) from error

    def sweep_run(self, name: str, sweep_id: str) -> SweepRun | None:
        """The run of a sweep; None before its driver has created it.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                return None
            condition = run_filter(sweep_id, RunKind.SWEEP)
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
        while chunk := list(islice(experiments, _EXPERIMENTS_PER_SEARCH)):
            for run in self._search(chunk, run_filter(kind=RunKind.SWEEP)):
                yield _sweep_record(run)

    def trial_runs(
        self,
        experiment_id: str,
        sweep_id: str,
        *,
        since: datetime | None = None,
        without: Collection[str] = (),
    ) -> Iterator[TrialRun]:
        """Runs that have not ended, and those that ended at ``since`` or later.

        The latter are read last, so that a run that ends in the meantime is among both.

        Args:
            experiment_id: The sweep's experiment.
            sweep_id: The sweep.
            since: Earliest end; None for all runs.
            without: Ids of runs that ended since then to leave out; of many, some are not left out.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        mine = run_filter(sweep_id, RunKind.TRIAL)
        if since is None:
            yield from map(TrialRun.decode, self._search([experiment_id], mine))
            return
        moment = int(since.timestamp() * 1000)
        ended = f"{mine} and attributes.end_time >= {moment}"
        if without:
            ended += f" and attributes.run_id NOT IN ({_quoted(islice(without, _MAX_LEFT_OUT))})"
        running = f"{mine} and attributes.status = '{RUNNING}'"
        yield from map(TrialRun.decode, self._search([experiment_id], running))
        yield from map(TrialRun.decode, self._search([experiment_id], ended))

    def runs(self, experiment_id: str, run_ids: Sequence[str]) -> list[TrialRun]:
        """The runs of some trials; deleted ones are left out.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        found: list[TrialRun] = []
        for at in range(0, len(run_ids), _IDS_PER_SEARCH):
            names = _quoted(run_ids[at : at + _IDS_PER_SEARCH])
            condition = f"attributes.run_id IN ({names})"
            found += map(TrialRun.decode, self._search([experiment_id], condition))
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
        return sorted((value.step, value.value) for value in values if is_finite(value.value))

    def histories(self, run_ids: Sequence[str], metric: str) -> dict[str, list[tuple[int, float]]]:
        """(epoch, value) of a metric of many runs, by run, with one request for every 100.

        MLflow answers this to its own pages; where a server does not, each run is read alone.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        found: dict[str, list[tuple[int, float]]] = {}
        waiting = [
            list(run_ids[at : at + _IDS_PER_SEARCH])
            for at in range(0, len(run_ids), _IDS_PER_SEARCH)
        ]
        while waiting:
            some = waiting.pop()
            points = self._bulk_history(some, metric) if len(some) > 1 else None
            if points is None:
                found |= {run_id: self.history(run_id, metric) for run_id in some}
            elif len(points) < _POINTS_PER_ANSWER:
                found |= {run_id: [] for run_id in some}
                for point in points:
                    if is_finite(point["value"]):
                        found[point["run_id"]].append((point["step"], point["value"]))
            else:  # the rest was cut off
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
        return {run_id: sorted(points) for run_id, points in found.items()}

    def _bulk_history(self, run_ids: Sequence[str], metric: str) -> list[dict[str, Any]] | None:
        """Points of a metric of some runs; None if the server does not know this request."""
        if not self._uri.startswith("http"):
            return None
        try:
            answer = http_request(
                get_default_host_creds(self._uri),
                _BULK_HISTORY,
                "GET",
                params={
                    "run_id": run_ids,
                    "metric_key": metric,
                    "max_results": _POINTS_PER_ANSWER,
                },
            )
        except MlflowException as error:
            raise self._unavailable(error) from error
        if answer.status_code != HTTPStatus.OK:
            return None
        try:
            points: list[dict[str, Any]] = answer.json()["metrics"]
        except (ValueError, KeyError):  # a proxy's own answer
            return None
        return points

    def artifact_text(self, run_id: str, name: str) -> str | None:
        """A text artifact of a run; None if it has none of that name.

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
        """A tag of a run; None if it has none of that name.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            value: str | None = self._client.get_run(run_id).data.tags.get(name)
        except MlflowException as error:
            raise self._unavailable(error) from error
        return value

    def tag_run(self, run_id: str, name: str, value: str) -> None:
        """Set a tag of a run.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        try:
            self._client.set_tag(run_id, name, value)
        except MlflowException as error:
            raise self._unavailable(error) from error

    def describe_run(self, run_id: str, metrics: Mapping[str, float], description: str) -> None:
        """Set metrics and the description of a run, in Markdown.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        now = int(time.time() * 1000)
        values = [Metric(name, value, now, 0) for name, value in metrics.items()]
        try:
            tags = [RunTag(MLFLOW_RUN_NOTE, description)]
            self._client.log_batch(run_id, metrics=values, tags=tags)
        except MlflowException as error:
            raise self._unavailable(error) from error

    def log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Store files, by name, as artifacts of a run; files of the same name are replaced.

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
        """End the runs that a driver left open: trials as cancelled, the sweep with a status.

        Args:
            experiment_id: The sweep's experiment.
            sweep_id: The sweep.
            status: ``FAILED`` or ``KILLED``, for the sweep's own run.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
        """
        condition = f"{run_filter(sweep_id)} and attributes.status = '{RUNNING}'"
        try:
            for run in list(self._search([experiment_id], condition)):
                is_trial = run.data.tags.get(Tag.KIND) == RunKind.TRIAL
                if is_trial:
                    self._client.set_tag(run.info.run_id, Tag.OUTCOME.value, Outcome.CANCELLED)
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
        return MlflowUnavailableError(
            f"MLflow does not answer at {_SETTING}", f"{self._uri}: {first_line(error)[:300]}"
        )


def _quoted(run_ids: Iterable[str]) -> str:
    """Ids as a list of MLflow's filter language."""
    return ", ".join(f"'{run_id}'" for run_id in run_ids)


def _sweep_run(run: Run) -> SweepRun:
    tags = run.data.tags
    classes = tags.get(Tag.CLASSES)
    return SweepRun(
        experiment_id=run.info.experiment_id,
        run_id=run.info.run_id,
        classes=int(classes) if classes else None,
        data_notes=tags.get(Tag.DATA_NOTES),
        hessian_method=tags.get(Tag.HESSIAN_METHOD),
    )


def _sweep_record(run: Run) -> SweepRecord:
    is_over = run.info.status != RUNNING
    return SweepRecord(
        sweep_id=run.data.tags[Tag.SWEEP],
        run=_sweep_run(run),
        status=run.info.status,
        attempt=int(run.data.tags.get(Tag.ATTEMPT, 1)),
        started_at=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        ended_at=decode_time(run.info.end_time) if is_over else None,
    )
