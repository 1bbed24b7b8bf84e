"""Delivery of the driver's journal to MLflow, in a thread of its own.

    journal -> batches of entries -> runs of MLflow (`workers.mlflow_runs`)

The writer is the only one that writes the sweep's runs. While MLflow does not answer it waits, and
nothing is lost. Every write can be repeated, because times are the journal's.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from workers.failures import FailureKind, read_failure
from workers.job import DriverJob
from workers.journal import Journal, JournalEntry
from workers.logs import read_trial_log
from workers.metrics import Outcome
from workers.mlflow_runs import FinishedTrial, SweepRuns, is_refusal
from workers.mlflow_schema import EPOCH, Artifact, Tag
from workers.recovery import recover_journal

__all__ = ["MlflowWriter"]

log = logging.getLogger(__name__)

_BATCH = 500
"""Entries delivered at a time."""
_MAX_FINISHED_ITEMS = 50_000
"""Metrics, parameters and tags of the finished runs of one request; a few seconds of MLflow."""
_GATHER_SECONDS = 0.5
"""Interval between deliveries, in which entries gather to a batch."""
_FIRST_BACKOFF_SECONDS = 1.0
_MAX_BACKOFF_SECONDS = 15.0
_TAG_LENGTH = 4_000
_REMEDY = (
    "out of memory: choose a smaller training.batch_size, or fewer trials a GPU by a larger "
    "resources.gpu"
)
_STATUS = {Outcome.FAILED: "FAILED", Outcome.CANCELLED: "KILLED"}


class MlflowWriter:
    """Delivers the journal to MLflow in a thread of its own.

    While MLflow does not answer, it tries again. When MLflow refuses a delivery, the runs are
    looked up again, deleted ones are restored, and the delivery is repeated once. What is refused
    then (a value that MLflow never accepts), or cannot be stored for long (an artifact), is left
    out with a warning, so that it does not hold up the rest. The journal keeps all of it.

    Args:
        job: The driver's job: the sweep, its tracking server, the attempt.
        journal: What to deliver.
        tags: Tags of every run, such as library versions.
    """

    def __init__(self, job: DriverJob, journal: Journal, tags: Mapping[str, str]) -> None:
        self._job = job
        self._journal = journal
        self._runs = SweepRuns(job, tags)
        self._trials = {trial.key: trial for trial in job.specification.trials}
        self._positions = {key: position for position, key in enumerate(self._trials)}
        self._suggestions = 0
        self._folders = job.trials_folder
        self._offset_file = journal.path.with_suffix(".delivered")
        self._offset = self._load_offset()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._deliver_all, name="mlflow-writer")

    def recover(self) -> None:
        """Fill a journal without a start from the sweep's runs in MLflow; waits for MLflow."""
        while True:
            try:
                runs = self._runs.find()
                parent = runs.pop("", None)
                recover_journal(
                    self._journal, self._job.specification, runs, self._runs.metric_history
                )
            except MlflowException as error:
                log.warning("MLflow does not answer, the journal cannot be recovered: %s", error)
                time.sleep(_MAX_BACKOFF_SECONDS)
            else:
                break
        self._save_offset(self._journal.end)
        fingerprint = parent and parent.data.tags.get(Tag.DATA_FINGERPRINT)
        if fingerprint:
            self._journal.append("sweep_started", tags={Tag.DATA_FINGERPRINT.value: fingerprint})

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()

    def close(self) -> None:
        """Deliver the rest and stop.

        While MLflow does not answer this waits: until then the journal has the only copy.
        """
        self._closing.set()
        self._thread.join()

    def _deliver_all(self) -> None:
        """Deliver until closed and everything is delivered, with a backoff on errors."""
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            is_closing = self._closing.is_set()  # read before waiting: earlier entries count
            if not self._journal.wait(self._offset, 0 if is_closing else _GATHER_SECONDS):
                if is_closing:
                    return
                continue
            try:
                self._deliver_next()
            except Exception as error:  # noqa: BLE001 - a dead thread would deliver nothing more
                self._runs.parent_id = ""  # look the runs up before anything is repeated
                if is_refusal(error) and not self._runs.drops_refused:
                    self._runs.drops_refused = True
                    continue
                log.warning("MLflow does not take results, next try in %.0f s: %s", backoff, error)
                time.sleep(backoff)
                backoff = min(2 * backoff, _MAX_BACKOFF_SECONDS)
                continue
            backoff = _FIRST_BACKOFF_SECONDS
            self._closing.wait(_GATHER_SECONDS)

    def _deliver_next(self) -> None:
        """Deliver the next batch and save the new offset."""
        if not self._runs.parent_id:
            self._runs.look_up(before_create=self._start_over)
        entries, behind = self._journal.read(self._offset, limit=_BATCH)
        self._learn_suggestions()
        groups = _by_trial(entries)
        finished = self._finished(groups)
        is_created = self._runs.create_finished(list(finished.values()))
        for key, group in groups.items():
            if is_created and key in finished:
                continue
            if key in self._trials:
                self._deliver_trial(key, group)
            elif key:  # written by a release that defines keys differently
                log.warning("no trial of this sweep has the key %s: left out", key)
            else:
                self._deliver_sweep(group)
        self._runs.drops_refused = False
        self._save_offset(behind)

    def _finished(self, groups: Mapping[str, Sequence[JournalEntry]]) -> dict[str, FinishedTrial]:
        """The trials whose start and end are in this batch and that have no run, by their keys.

        Those of them that fit into a request; the others get MLflow's own requests.
        """
        found: dict[str, FinishedTrial] = {}
        room = _MAX_FINISHED_ITEMS
        for key, entries in groups.items():
            if key not in self._trials or self._runs.usable(key) or room <= 0:
                continue
            start, end = entries[0], entries[-1]
            ends = [entry.kind for entry in entries if entry.kind != "epoch"]
            if ends == ["trial_started", "trial_ended"] == [start.kind, end.kind]:
                items = [
                    *self._start_items(key, start),
                    *_epoch_metrics(entries),
                    *_end_tags(end),
                ]
                room -= len(items)
                found[key] = FinishedTrial(
                    trial=self._trials[key],
                    position=self._positions[key],
                    attempt=start.data["attempt"],
                    start_time_ms=start.time_ms,
                    end_time_ms=end.time_ms,
                    status=_status(end),
                    items=items,
                    files=self._artifacts(key, end),
                )
        return found

    def _load_offset(self) -> int:
        """Offset that an earlier driver reached; 0 if the file is missing or damaged."""
        text = self._offset_file.read_text() if self._offset_file.exists() else ""
        offset = int(text) if text.isdecimal() else 0
        return offset if offset <= self._journal.end else 0

    def _save_offset(self, offset: int) -> None:
        """Save that everything before an offset is delivered."""
        self._offset = offset
        scratch = self._offset_file.with_suffix(".tmp")
        scratch.write_text(str(offset))
        scratch.replace(self._offset_file)

    def _start_over(self) -> None:
        """Deliver everything again, even if this process dies before that is done."""
        self._offset = 0
        self._offset_file.unlink(missing_ok=True)

    def _learn_suggestions(self) -> None:
        """Add the trials that a search has found since the last batch."""
        specification = self._job.specification
        for suggestion in self._journal.suggestions[self._suggestions :]:
            self._suggestions += 1
            found = specification.expand(
                suggestion.label, suggestion.number, suggestion.configuration
            )
            for position, trial in found.items():
                self._trials[trial.key] = trial
                self._positions[trial.key] = position

    def _deliver_sweep(self, entries: list[JournalEntry]) -> None:
        """Deliver entries of the sweep itself to the parent run."""
        for entry in entries:
            if entry.kind == "sweep_started":
                items = [RunTag(*item) for item in entry.data["tags"].items()]
                self._runs.log(self._runs.parent_id, items)
                specification = self._job.specification.model_dump_json(indent=2)
                self._runs.store(self._runs.parent_id, Artifact.SPECIFICATION, specification)
            elif entry.kind == "sweep_ended":
                self._runs.end(self._runs.parent_id, entry.data["status"], entry.time_ms)

    def _deliver_trial(self, key: str, entries: list[JournalEntry]) -> None:
        """Deliver entries of one trial to its run."""
        start, end = _last(entries, "trial_started"), _last(entries, "trial_ended")
        run_id = self._runs.usable(key)
        if start is not None:
            if run_id:
                self._runs.reopen(run_id)
            else:
                place = self._positions[key], start.data["attempt"], start.time_ms
                run_id = self._runs.create(self._trials[key], *place)
        elif not run_id:
            self._start_over()
            raise MlflowException(f"the run of trial {key} is gone", RESOURCE_DOES_NOT_EXIST)
        items = [*self._start_items(key, start), *_epoch_metrics(entries)]
        if end is None or entries.index(end) < (entries.index(start) if start else 0):
            self._runs.log(run_id, items)
            return
        self._runs.log(run_id, [*items, *_end_tags(end)])
        for artifact, text in self._artifacts(key, end).items():
            self._runs.store(run_id, artifact, text)
        self._runs.end(run_id, _status(end), end.time_ms)

    def _start_items(self, key: str, start: JournalEntry | None) -> list[Param | RunTag]:
        """The configuration as parameters, and tags that reset what an earlier attempt left."""
        if start is None:
            return []
        configuration = self._trials[key].describe()
        params: list[Param | RunTag] = [
            Param(name, str(value)) for name, value in configuration.items()
        ]
        attempt = start.data["attempt"]
        if attempt == 1:
            return params
        cleared = {Tag.OUTCOME: "", Tag.ERROR: "", Tag.FAILURE: ""}
        return [*params, *_run_tags({Tag.ATTEMPT: attempt, **cleared})]

    def _artifacts(self, key: str, end: JournalEntry) -> dict[Artifact, str]:
        """Files of an ended trial: traceback, log, accuracy by corruption and severity."""
        found = {}
        if "traceback" in end.data:
            found[Artifact.TRACEBACK] = end.data["traceback"]
        if text := read_trial_log(self._folders / key):
            found[Artifact.LOG] = text
        if "ood_matrix" in end.data:
            found[Artifact.OOD_MATRIX] = json.dumps(end.data["ood_matrix"], indent=2)
        return found


def _by_trial(entries: Iterable[JournalEntry]) -> dict[str, list[JournalEntry]]:
    """Entries grouped by trial, in the order of their last ones, in which trials end.

    Those of the sweep come last, because it ends after its trials.
    """
    groups: dict[str, list[JournalEntry]] = {}
    for entry in entries:
        groups[entry.trial] = [*groups.pop(entry.trial, []), *entry.parts]
    sweep = groups.pop("", [])
    return groups | {"": sweep}


def _last(entries: Sequence[JournalEntry], kind: str) -> JournalEntry | None:
    return next((entry for entry in reversed(entries) if entry.kind == kind), None)


def _epoch_metrics(entries: Iterable[JournalEntry]) -> list[Metric]:
    """Metrics of each epoch, with the epoch as their step."""
    return [
        Metric(name, float(value), entry.time_ms, entry.data["epoch"])
        for entry in entries
        if entry.kind == "epoch"
        for name, value in (entry.data["metrics"] | {EPOCH: entry.data["epoch"]}).items()
    ]


def _end_tags(end: JournalEntry) -> list[RunTag]:
    """Tags that say how a trial ended."""
    values: dict[Tag, object] = {Tag.OUTCOME: end.data["outcome"]}
    if end.data["outcome"] == Outcome.DIVERGED:
        values[Tag.DIVERGED_EPOCH] = end.data["epoch"]
    if "traceback" in end.data:
        failure = read_failure(end.data["traceback"])
        remedy = f" ({_REMEDY})" if failure.kind is FailureKind.OUT_OF_MEMORY else ""
        values[Tag.FAILURE] = failure.kind
        values[Tag.ERROR] = f"{failure.headline}{remedy}".replace("\0", "")[:_TAG_LENGTH]
    if "numerics" in end.data:
        values[Tag.NUMERICS] = end.data["numerics"]
    if "origin" in end.data:
        values[Tag.REUSED_FROM] = json.dumps(end.data["origin"])
    return _run_tags(values)


def _status(end: JournalEntry) -> str:
    """MLflow's status of a trial that has ended."""
    return _STATUS.get(Outcome(end.data["outcome"]), "FINISHED")


def _run_tags(values: Mapping[Tag, object]) -> list[RunTag]:
    """Tags as MLflow's entities."""
    return [RunTag(tag.value, str(value)) for tag, value in values.items()]
