"""From the journal to MLflow: one experiment a sweep name, a parent run a sweep, a run a trial.

The writer, a thread, is the single writer of the sweep's runs; while MLflow is away it waits, and
nothing is lost. Every write can be repeated: a run is found by its tag before it is created, and
times are the journal's.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from requests import HTTPError

from workers.changes import DATA_TAG
from workers.failures import FailureKind, read_failure
from workers.job import DriverJob
from workers.journal import Entry, Journal
from workers.logs import read_trial_log
from workers.metrics import Outcome
from workers.recall import recall

__all__ = ["MlflowWriter"]

log = logging.getLogger(__name__)

_BATCH = 500
"""Entries delivered at a time."""
_MOST_ITEMS = 1_000
"""Metrics, params and tags that a call of log-batch takes."""
_GATHER_SECONDS = 0.5
_SHORTEST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 15.0
_ARTIFACT_PATIENCE_SECONDS = 600.0
"""How long everything waits for a store of artifacts that fails while MLflow itself answers."""
_TAG_LENGTH = 4_000
_INVALID = frozenset({"BAD_REQUEST", "INVALID_PARAMETER_VALUE"})
_REFUSED = _INVALID | {"INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"}
_REMEDY = (
    "out of memory: choose a smaller training.batch_size, or fewer trials a GPU by a larger "
    "resources.gpu"
)
_STATUS = {Outcome.FAILED: "FAILED", Outcome.CANCELLED: "KILLED"}


class MlflowWriter:
    """Delivers the journal to MLflow in a thread of its own.

    Nothing is given up while MLflow does not answer. When it refuses a delivery, the runs are
    looked up again and the delivery is repeated once, what is deleted restored; what it refuses
    then (a value it will never take), or cannot store for long (an artifact), is left out with a
    warning, since it must not keep everything else back. All of it stays in the journal.

    Args:
        job: The driver's job: the sweep, its tracking server, the attempt.
        journal: What to deliver.
        tags: Tags of every run, such as library versions.
    """

    def __init__(self, job: DriverJob, journal: Journal, tags: Mapping[str, str]) -> None:
        self._job = job
        self._journal = journal
        self._tags = {**job.specification.tags, **tags, "sasam.sweep": job.sweep_id}
        self._trials = {trial.key: trial for trial in job.specification.trials}
        self._positions = {key: position for position, key in enumerate(self._trials)}
        self._suggestions = 0
        self._client = MlflowClient(job.mlflow_tracking_uri)
        self._experiment_id = ""
        self._parent_run_id = ""
        self._run_ids: dict[str, str] = {}
        self._deleted: set[str] = set()
        self._drops_refused = False
        self._artifacts_fail_since: float | None = None
        self._folders = job.trials_folder
        self._offset_file = journal.path.with_suffix(".delivered")
        self._offset = self._load_offset()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._deliver_all, name="mlflow-writer")

    def recall(self) -> None:
        """Fill a journal without a start from what MLflow has of the sweep; waits for MLflow."""
        while True:
            try:
                self._experiment_id = self._find_experiment()
                runs = self._find_runs()
                parent = runs.pop("", None)
                history = self._client.get_metric_history
                recall(self._journal, self._job.specification, runs, history)
            except MlflowException as error:
                log.warning("MLflow does not say what it has of the sweep: %s", error)
                time.sleep(_LONGEST_PAUSE_SECONDS)
            else:
                break
        self._delivered_to(self._journal.end)
        if parent is not None and DATA_TAG in parent.data.tags:
            self._journal.append("sweep_started", tags={DATA_TAG: parent.data.tags[DATA_TAG]})

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()

    def close(self) -> None:
        """Deliver the rest and stop.

        While MLflow is away this waits: the results are only here until it is back.
        """
        self._closing.set()
        self._thread.join()

    def _deliver_all(self) -> None:
        """Deliver until closed and everything is delivered; wait while MLflow is away."""
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            is_closing = self._closing.is_set()  # before waiting: what is appended first counts
            if not self._journal.wait(self._offset, 0 if is_closing else _GATHER_SECONDS):
                if is_closing:
                    return
                continue
            try:
                self._deliver_next()
            except Exception as error:  # noqa: BLE001 - a dead thread would deliver nothing more
                self._parent_run_id = ""  # look runs up before anything is repeated
                if _is_answer(error) and not self._drops_refused:
                    self._drops_refused = True
                    continue
                log.warning("MLflow does not take results, next try in %.0f s: %s", pause, error)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _SHORTEST_PAUSE_SECONDS
            self._closing.wait(_GATHER_SECONDS)

    def _deliver_next(self) -> None:
        """Deliver the next entries and note that they are."""
        if not self._parent_run_id:
            self._look_up_runs()
        entries, behind = self._journal.read(self._offset, limit=_BATCH)
        self._learn_suggestions()
        for key, group in _by_trial(entries).items():
            if key in self._trials:
                self._deliver_trial(key, group)
            elif key:  # a release that defines keys differently wrote it
                log.warning("no trial of this sweep has the key %s: left out", key)
            else:
                self._deliver_sweep(group)
        self._drops_refused = False
        self._delivered_to(behind)

    def _delivered_to(self, offset: int) -> None:
        """Note that what lies before an offset is delivered."""
        self._offset = offset
        scratch = self._offset_file.with_suffix(".tmp")
        scratch.write_text(str(offset))
        scratch.replace(self._offset_file)

    def _start_over(self) -> None:
        """Deliver everything again, also if this process dies before it has."""
        self._offset = 0
        self._offset_file.unlink(missing_ok=True)

    def _learn_suggestions(self) -> None:
        """Learn the trials that a search has found meanwhile."""
        specification = self._job.specification
        for suggestion in self._journal.suggestions[self._suggestions :]:
            self._suggestions += 1
            found = specification.expand(
                suggestion.label, suggestion.number, suggestion.configuration
            )
            for position, trial in found.items():
                self._trials[trial.key] = trial
                self._positions[trial.key] = position

    def _load_offset(self) -> int:
        """How far an earlier driver came; a lost or damaged file means that all is repeated."""
        text = self._offset_file.read_text() if self._offset_file.exists() else ""
        offset = int(text) if text.isdecimal() else 0
        return offset if offset <= self._journal.end else 0

    def _look_up_runs(self) -> None:
        """Find or make the experiment and the sweep's run, and learn the runs there are."""
        self._experiment_id = self._find_experiment()
        runs = self._find_runs()
        self._run_ids = {key: run.info.run_id for key, run in runs.items()}
        self._deleted = {
            run.info.run_id for run in runs.values() if run.info.lifecycle_stage == "deleted"
        }
        self._parent_run_id = self._usable_run("") or self._create_parent()
        self._client.update_run(self._parent_run_id, status="RUNNING")
        self._log(self._parent_run_id, _tags(attempt=self._job.attempt))

    def _find_experiment(self) -> str:
        name = self._job.specification.name
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another sweep of this name was faster
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _find_runs(self) -> dict[str, Run]:
        """Runs by trial key; the sweep's own run has the empty key.

        A create whose answer was lost leaves a second run of a trial: the emptier one is deleted.
        """
        found: dict[str, list[Run]] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.`sasam.sweep` = '{self._job.sweep_id}'",
                ViewType.ALL,
                max_results=1_000,
                page_token=token,
            )
            for run in page:
                found.setdefault(run.data.tags.get("sasam.trial", ""), []).append(run)
            token = page.token
            if not token:
                break
        for runs in found.values():
            runs.sort(key=lambda run: (_is_active(run), len(run.data.metrics)), reverse=True)
            for other in filter(_is_active, runs[1:]):
                self._client.delete_run(other.info.run_id)
        return {key: runs[0] for key, runs in found.items()}

    def _usable_run(self, key: str) -> str:
        """The run of a trial, restored if someone deleted it; empty when there is none."""
        run_id = self._run_ids.get(key, "")
        if run_id in self._deleted:
            self._client.restore_run(run_id)
            self._deleted.remove(run_id)
        return run_id

    def _create_parent(self) -> str:
        """Make the sweep's run; into a new one everything is delivered."""
        self._start_over()
        run = self._client.create_run(
            self._experiment_id,
            run_name=f"{self._job.specification.name} {self._job.sweep_id}",
            tags=self._tags | {"sasam.kind": "sweep"},
        )
        return str(run.info.run_id)

    def _create_run(self, key: str, start: Entry) -> str:
        """Make the run of a trial."""
        trial = self._trials[key]
        run = self._client.create_run(
            self._experiment_id,
            start_time=start.time_ms,
            run_name=(
                f"{trial.optimizer_label} lr={trial.learning_rate:g} "
                f"wd={trial.weight_decay:g} seed={trial.seed}"
            ),
            tags=self._tags
            | {
                "mlflow.parentRunId": self._parent_run_id,
                "sasam.kind": "trial",
                "sasam.trial": key,
                "sasam.optimizer": trial.optimizer_label,
                "sasam.position": str(self._positions[key]),
                "sasam.attempt": str(start.data["attempt"]),
            },
        )
        self._run_ids[key] = str(run.info.run_id)
        return self._run_ids[key]

    def _deliver_sweep(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind == "sweep_started":
                tags = [RunTag(*item) for item in entry.data["tags"].items()]
                self._log(self._parent_run_id, tags)
                specification = self._job.specification.model_dump_json(indent=2)
                self._store(self._parent_run_id, "specification.json", specification)
            elif entry.kind == "sweep_ended":
                status = entry.data["status"]
                self._client.set_terminated(self._parent_run_id, status, entry.time_ms)

    def _deliver_trial(self, key: str, entries: list[Entry]) -> None:
        start, end = _last(entries, "trial_started"), _last(entries, "trial_ended")
        items: list[Metric | Param | RunTag] = []
        run_id = self._usable_run(key)
        if start is not None:
            items += [
                Param(name, str(value)) for name, value in self._trials[key].describe().items()
            ]
            if start.data["attempt"] > 1:  # what an earlier attempt left
                items += _tags(attempt=start.data["attempt"], outcome="", error="", failure="")
            if run_id:
                self._client.update_run(run_id, status="RUNNING")
            else:
                run_id = self._create_run(key, start)
        elif not run_id:
            self._start_over()
            raise MlflowException(f"the run of trial {key} is gone", RESOURCE_DOES_NOT_EXIST)
        items += [
            Metric(name, float(value), entry.time_ms, entry.data["epoch"])
            for entry in entries
            if entry.kind == "epoch"
            for name, value in (entry.data["metrics"] | {"epoch": entry.data["epoch"]}).items()
        ]
        if end is None or entries.index(end) < (entries.index(start) if start else 0):
            self._log(run_id, items)
            return
        outcome = Outcome(end.data["outcome"])
        self._log(run_id, [*items, *_end_tags(end)])
        if "traceback" in end.data:
            self._store(run_id, "traceback.txt", end.data["traceback"])
        if text := read_trial_log(self._folders / key):
            self._store(run_id, "log.txt", text)
        if "ood_matrix" in end.data:
            self._store(run_id, "ood_matrix.json", json.dumps(end.data["ood_matrix"], indent=2))
        self._client.set_terminated(run_id, _STATUS.get(outcome, "FINISHED"), end.time_ms)

    def _log(self, run_id: str, items: Sequence[Metric | Param | RunTag]) -> None:
        """Write to a run in few calls; halves what is too much, or holds what is refused."""
        if len(items) <= _MOST_ITEMS:
            try:
                self._client.log_batch(
                    run_id,
                    metrics=[item for item in items if isinstance(item, Metric)],
                    params=[item for item in items if isinstance(item, Param)],
                    tags=[item for item in items if isinstance(item, RunTag)],
                )
            except MlflowException as error:
                if error.error_code not in _INVALID or not self._drops_refused:
                    raise
                if len(items) == 1:
                    log.warning("MLflow refuses %s, left out: %s", items[0], error)
                    return
            else:
                return
        half = len(items) // 2
        self._log(run_id, items[:half])
        self._log(run_id, items[half:])

    def _store(self, run_id: str, name: str, text: str) -> None:
        """Write an artifact; one that cannot be stored is left out like a value that is refused."""
        try:
            self._client.log_text(run_id, text, name)
        except Exception as error:
            now = time.monotonic()
            self._artifacts_fail_since = self._artifacts_fail_since or now
            is_refused = self._drops_refused and _is_answer(error)
            if not is_refused and now - self._artifacts_fail_since < _ARTIFACT_PATIENCE_SECONDS:
                raise
            log.warning("the artifact %s of run %s is left out: %s", name, run_id, error)
        else:
            self._artifacts_fail_since = None


def _is_answer(error: Exception) -> bool:
    """Whether a request came through and was refused; everything else may work later."""
    if isinstance(error, MlflowException):
        return error.error_code in _REFUSED
    if isinstance(error, HTTPError) and error.response is not None:  # of the store of artifacts
        return bool(error.response.status_code < 500)
    return not isinstance(error, OSError)


def _is_active(run: Run) -> bool:
    return bool(run.info.lifecycle_stage == "active")


def _by_trial(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """All of a trial together, the sweep's own last: it ends when its trials have."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.trial, []).append(entry)
    sweep = groups.pop("", [])
    return groups | {"": sweep}


def _last(entries: Sequence[Entry], kind: str) -> Entry | None:
    return next((entry for entry in reversed(entries) if entry.kind == kind), None)


def _tags(**tags: object) -> list[RunTag]:
    return [RunTag(f"sasam.{name}", str(value)) for name, value in tags.items()]


def _end_tags(end: Entry) -> list[RunTag]:
    """How a trial ended."""
    tags = _tags(outcome=end.data["outcome"])
    if end.data["outcome"] == Outcome.DIVERGED:
        tags += _tags(diverged_epoch=end.data["epoch"])
    if "traceback" in end.data:
        failure = read_failure(end.data["traceback"])
        remedy = f" ({_REMEDY})" if failure.kind is FailureKind.OUT_OF_MEMORY else ""
        error = f"{failure.headline}{remedy}".replace("\0", "")[:_TAG_LENGTH]
        tags += _tags(failure=failure.kind, error=error)
    return tags
