"""From Ray Tune to MLflow: the callback journals, the writer delivers.

The callback runs in Tune's event loop and only appends to the journal. The writer, a thread, is the
single writer of the sweep's MLflow runs; while MLflow is away it waits, and nothing is lost. Every
write can be repeated: a run is found by its tag before it is created, and times are the journal's.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from workers.job import DriverJob
from workers.journal import Entry, Journal
from workers.metrics import Outcome, is_metric
from workers.spec import TrialConfig

__all__ = ["ConsecutiveFailures", "JournalCallback", "MlflowWriter", "key_of"]

log = logging.getLogger(__name__)

_BATCH = 500
"""Entries delivered at a time; a call of log-batch takes 1,000 metrics."""
_GATHER_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_TAG_LENGTH = 4_000
_STATUS = {Outcome.FAILED: "FAILED", Outcome.CANCELLED: "KILLED"}


class JournalCallback(Callback):
    """Writes what Tune sees of the trials to the journal, every epoch once."""

    def __init__(self, journal: Journal, attempt: int) -> None:
        self._journal = journal
        self._attempt = attempt
        self._keys: dict[str, str] = {}
        self._started: set[str] = set()
        self.consecutive_failures = 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that never happens here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the start; a retry of the same trial is the same start."""
        key = self._key(trial)
        if key not in self._started:
            self._started.add(key)
            self._journal.append("trial_started", key, attempt=self._attempt)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Note an epoch, and the end if this was the last one."""
        key = self._key(trial)
        if not self._journal.is_recorded(key, result["epoch"]):
            metrics = {name: value for name, value in result.items() if _is_value(name, value)}
            self._journal.append("epoch", key, epoch=result["epoch"], metrics=metrics)
        if "outcome" in result:
            self.consecutive_failures = 0
            details = {name: result[name] for name in ("ood_matrix",) if name in result}
            self._end(key, Outcome(result["outcome"]), epoch=result["epoch"], **details)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Note a trial that early stopping ended."""
        key = self._key(trial)
        if key not in self._journal.outcomes:
            self._end(key, Outcome.PRUNED, epoch=self._journal.epochs.get(key, 0))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note a trial whose retries are spent, with its traceback."""
        self.consecutive_failures += 1
        key = self._key(trial)
        text = Path(trial.error_file).read_text() if trial.error_file else "no traceback"
        epoch = self._journal.epochs.get(key, 0)
        self._end(key, Outcome.FAILED, epoch=epoch, traceback=text)

    def _key(self, trial: Trial) -> str:
        """The key of a Tune trial, worked out once."""
        if trial.trial_id not in self._keys:
            self._keys[trial.trial_id] = key_of(trial)
        return self._keys[trial.trial_id]

    def _end(self, key: str, outcome: Outcome, **data: Any) -> None:
        if key not in self._journal.outcomes:
            self._journal.append("trial_ended", key, outcome=outcome, **data)


def key_of(trial: Trial) -> str:
    """The key of the configuration that a Tune trial runs."""
    return TrialConfig.model_validate(trial.config["trial"]).key


class ConsecutiveFailures(Stopper):
    """Ends the sweep when ``limit`` trials failed one after the other."""

    def __init__(self, callback: JournalCallback, limit: int) -> None:
        self._callback = callback
        self._limit = limit

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """A trial ends by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether to end the sweep."""
        return self._callback.consecutive_failures >= self._limit


class MlflowWriter:
    """Delivers the journal to MLflow in a thread of its own.

    Args:
        job: The driver's job: the sweep, its tracking server, the attempt.
        journal: What to deliver.
        tags: Tags of every run, such as library versions.
    """

    def __init__(self, job: DriverJob, journal: Journal, tags: Mapping[str, str]) -> None:
        self._job = job
        self._journal = journal
        self._tags = dict(tags)
        self._trials = {trial.key: trial for trial in job.specification.trials}
        self._positions = {key: position for position, key in enumerate(self._trials)}
        self._client = MlflowClient(job.mlflow_tracking_uri)
        self._experiment_id = ""
        self._parent_run_id = ""
        self._run_ids: dict[str, str] = {}
        self._offset_file = journal.path.with_suffix(".delivered")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._deliver_all, name="mlflow-writer")

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
        offset = int(self._offset_file.read_text()) if self._offset_file.exists() else 0
        pause = 1.0
        while True:
            if not self._journal.wait(offset, _GATHER_SECONDS):
                if self._closing.is_set():
                    return
                continue
            try:
                if not self._parent_run_id:
                    self._open_parent()
                entries, behind = self._journal.read(offset, limit=_BATCH)
                self._deliver(entries)
            except MlflowException as error:
                log.warning("MLflow does not take results, next try in %.0f s: %s", pause, error)
                self._run_ids.clear()
                self._parent_run_id = ""
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            pause = 1.0
            offset = behind
            self._save_offset(offset)
            if not self._closing.is_set():
                self._closing.wait(_GATHER_SECONDS)

    def _save_offset(self, offset: int) -> None:
        scratch = self._offset_file.with_suffix(".tmp")
        scratch.write_text(str(offset))
        scratch.replace(self._offset_file)

    def _open_parent(self) -> None:
        """Find or make the experiment and the sweep's run, and learn the runs there are."""
        self._experiment_id = self._find_experiment()
        runs = self._find_runs(f"tags.`sasam.sweep` = '{self._job.sweep_id}'")
        self._run_ids = {key: run_id for key, run_id in runs.items() if key}
        parent = runs.get("")
        if parent is None:
            run = self._client.create_run(
                self._experiment_id,
                run_name=f"{self._job.specification.name} {self._job.sweep_id}",
                tags=self._tags | {"sasam.sweep": self._job.sweep_id, "sasam.kind": "sweep"},
            )
            parent = run.info.run_id
            specification = self._job.specification.model_dump(mode="json")
            self._client.log_dict(parent, specification, "specification.json")
        self._client.update_run(parent, status="RUNNING")
        self._client.set_tag(parent, "sasam.attempt", str(self._job.attempt))
        self._parent_run_id = parent

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

    def _find_runs(self, condition: str) -> dict[str, str]:
        """Run ids by trial key; the sweep's own run has the empty key."""
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], condition, max_results=1_000, page_token=token
            )
            for run in page:
                found.setdefault(run.data.tags.get("sasam.trial", ""), run.info.run_id)
            token = page.token
            if not token:
                return found

    def _deliver(self, entries: Iterable[Entry]) -> None:
        """Write entries to MLflow, all of a trial together."""
        by_trial: dict[str, list[Entry]] = {}
        for entry in entries:
            by_trial.setdefault(entry.trial, []).append(entry)
        for key, group in by_trial.items():
            if key:
                self._deliver_trial(key, group)
            else:
                for entry in group:
                    self._deliver_sweep(entry)

    def _deliver_sweep(self, entry: Entry) -> None:
        for name, value in entry.data.get("tags", {}).items():
            self._client.set_tag(self._parent_run_id, name, value)
        if entry.kind == "sweep_ended":
            status = entry.data["status"]
            self._client.set_terminated(self._parent_run_id, status, entry.time_ms)

    def _deliver_trial(self, key: str, entries: list[Entry]) -> None:
        run_id = self._run_ids.get(key)
        params: list[Param] = []
        tags: list[RunTag] = []
        if run_id is None:
            run_id = self._create_run(key, entries[0].time_ms)
            params = _params(self._trials[key])
        elif entries[0].kind == "trial_started":
            self._client.update_run(run_id, status="RUNNING")
            tags.append(RunTag("sasam.attempt", str(self._job.attempt)))
        metrics = [
            Metric(name, float(value), entry.time_ms, entry.data["epoch"])
            for entry in entries
            if entry.kind == "epoch"
            for name, value in (entry.data["metrics"] | {"epoch": entry.data["epoch"]}).items()
        ]
        end = next((entry for entry in reversed(entries) if entry.kind == "trial_ended"), None)
        if end is not None:
            tags += self._describe_end(run_id, end)
        for start in range(0, max(1, len(metrics)), 1_000):
            self._client.log_batch(run_id, metrics[start : start + 1_000], params, tags)
            params, tags = [], []
        if end is not None:
            status = _STATUS.get(Outcome(end.data["outcome"]), "FINISHED")
            self._client.set_terminated(run_id, status, end.time_ms)

    def _create_run(self, key: str, time_ms: int) -> str:
        trial = self._trials[key]
        run = self._client.create_run(
            self._experiment_id,
            start_time=time_ms,
            run_name=(
                f"{trial.optimizer_label} lr={trial.learning_rate:g} "
                f"wd={trial.weight_decay:g} seed={trial.seed}"
            ),
            tags=self._tags
            | {
                "mlflow.parentRunId": self._parent_run_id,
                "sasam.sweep": self._job.sweep_id,
                "sasam.kind": "trial",
                "sasam.trial": key,
                "sasam.position": str(self._positions[key]),
                "sasam.attempt": str(self._job.attempt),
            },
        )
        run_id = str(run.info.run_id)
        self._run_ids[key] = run_id
        return run_id

    def _describe_end(self, run_id: str, end: Entry) -> list[RunTag]:
        """Tags of an end; what is too long for a tag becomes an artifact."""
        tags = [RunTag("sasam.outcome", end.data["outcome"])]
        if end.data["outcome"] == Outcome.DIVERGED:
            tags.append(RunTag("sasam.diverged_epoch", str(end.data["epoch"])))
        if "traceback" in end.data:
            text = end.data["traceback"]
            self._client.log_text(run_id, text, "traceback.txt")
            tags.append(RunTag("sasam.error", text.strip().splitlines()[-1][:_TAG_LENGTH]))
        if "ood_matrix" in end.data:
            self._client.log_dict(run_id, end.data["ood_matrix"], "ood_matrix.json")
        return tags


def _params(trial: TrialConfig) -> list[Param]:
    return [Param(name, str(value)) for name, value in trial.describe().items()]


def _is_value(name: str, value: Any) -> bool:
    """Whether an item of a result is a finite metric."""
    return (
        is_metric(name)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
