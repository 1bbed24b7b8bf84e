"""Ray Tune callback that writes the trials' events to the journal, and the stop condition.

The callback runs in Tune's event loop, so it only appends to a file; `workers.delivery` sends the
journal to MLflow.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from workers.failures import Failure, Retries, read_failure
from workers.journal import Journal
from workers.metrics import Outcome, is_metric
from workers.shares import Shares
from workers.spec import TrialConfig
from workers.tune_searcher import SweepSearcher

__all__ = ["ConsecutiveFailures", "JournalCallback", "key_of"]

log = logging.getLogger(__name__)

_END_DETAILS = ("ood_matrix", "numerics")
"""Items of a trial's last record that are no metrics."""


class JournalCallback(Callback):
    """Writes the start, epochs and end of each trial to the journal, each once.

    A trial of Tune is a share of trials that run one after another. When its process dies, nothing
    says which of them was the cause, so each of the unfinished ones runs again alone.

    Args:
        journal: Journal of the sweep.
        attempt: Number of the attempt, from 1.
        searcher: Receives the trials to run again. A retry is a new trial for Tune, so that other
            trials can run during the pause before it.
        shares: Learns how long trials take.
        retries: Decides whether and when a failed trial is retried.
    """

    def __init__(
        self,
        journal: Journal,
        attempt: int,
        searcher: SweepSearcher,
        shares: Shares,
        retries: Retries,
    ) -> None:
        self._journal = journal
        self._attempt = attempt
        self._searcher = searcher
        self._shares = shares
        self._retries = retries
        self._started: set[str] = set()
        self.consecutive_failures = 0

    def __getstate__(self) -> dict[str, Any]:
        """No state: Tune pickles its callbacks for a restore, which is not used here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Record the start of the first trial of a share."""
        self._shares.start()
        self._begin_first(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Record epochs and ends of trials, and the start of the one that runs now."""
        for report in result["reports"]:
            self._record(report["key"], report["record"], report["seconds"])
        self._begin_first(trial)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Record the end of a trial that early stopping ended."""
        for item in self._unfinished(trial):
            key = item["key"]
            self._end(key, Outcome.PRUNED, epoch=self._journal.epochs.get(key, 0))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Run the unfinished trials of a share again, or record the end of the one that failed."""
        unfinished = self._unfinished(trial)
        if not unfinished:
            return
        text = Path(trial.error_file).read_text(errors="replace") if trial.error_file else ""
        failure = read_failure(text)
        first, *others = (TrialConfig.of_accepted_sweep(item["trial"]) for item in unfinished)
        if others and not failure.was_raised:
            log.warning("the process of %d trials died: %s", len(unfinished), failure.headline)
            for one in (first, *others):
                self._searcher.retry(one, 0.0)
            return
        self._searcher.put_back(others)
        self._fail(first, failure)

    def _fail(self, trial: TrialConfig, failure: Failure) -> None:
        """Retry a failed trial later, or record its end with its traceback."""
        key = trial.key
        self._begin(key)  # Tune reports no start if the actor failed to start
        epoch = self._journal.epochs.get(key, 0)
        pause = self._retries.pause_seconds(key, failure, epoch)
        if pause is not None:
            log.warning(
                "trial %s failed after epoch %d (%s), retry in %.0f s: %s",
                *(key, epoch, failure.kind, pause, failure.headline),
            )
            self._searcher.retry(trial, pause)
            return
        self.consecutive_failures += 1
        self._end(
            *(key, Outcome.FAILED),
            epoch=epoch,
            failure=failure.kind,
            traceback=failure.traceback,
        )

    def _record(self, key: str, record: dict[str, Any], seconds: float) -> None:
        """Record an epoch, and the end of the trial if it was the last one."""
        self._begin(key, seconds)
        epoch = record["epoch"]
        if not self._journal.is_recorded(key, epoch):
            metrics = {name: value for name, value in record.items() if _is_value(name, value)}
            self._journal.append("epoch", key, epoch=epoch, metrics=metrics)
        if "outcome" in record:
            self._shares.end(seconds)
            self.consecutive_failures = 0
            details = {name: record[name] for name in _END_DETAILS if name in record}
            self._end(key, Outcome(record["outcome"]), epoch=epoch, **details)

    def _unfinished(self, trial: Trial) -> list[dict[str, Any]]:
        """The trials of a share that have not ended, in their order."""
        outcomes = self._journal.outcomes
        return [
            item
            for item in trial.config["trials"]
            if item["key"] not in self._started or item["key"] not in outcomes
        ]

    def _begin_first(self, trial: Trial) -> None:
        """Record the start of the trial of a share that runs now; a short one's with its end.

        A run of MLflow that starts and ends at once costs a tenth of one that is changed.
        """
        unfinished = self._unfinished(trial)
        if unfinished and not self._shares.has_short_trials:
            self._begin(unfinished[0]["key"])

    def _begin(self, key: str, ago_seconds: float = 0.0) -> None:
        """Record the start of a trial once; a retry is no new start."""
        if key not in self._started:
            self._started.add(key)
            self._journal.append(
                "trial_started", key, ago_seconds=ago_seconds, attempt=self._attempt
            )

    def _end(self, key: str, outcome: Outcome, **data: Any) -> None:
        """Record the end of a trial once."""
        if key not in self._journal.outcomes:
            self._journal.append("trial_ended", key, outcome=outcome, **data)


def key_of(trial: Trial) -> str:
    """Key of the first trial of the share that a Tune trial runs; it names Tune's folder."""
    return str(trial.config["trials"][0]["key"])


class ConsecutiveFailures(Stopper):
    """Stops the sweep after ``limit`` consecutive failed trials."""

    def __init__(self, callback: JournalCallback, limit: int) -> None:
        self._callback = callback
        self._limit = limit

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stops a single trial."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop the sweep."""
        return self._callback.consecutive_failures >= self._limit


def _is_value(name: str, value: Any) -> bool:
    """Whether an item of a result is a finite metric."""
    return (
        is_metric(name)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
