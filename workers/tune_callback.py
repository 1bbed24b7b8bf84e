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

from workers.failures import Retries, read_failure
from workers.journal import Journal
from workers.metrics import Outcome, is_metric
from workers.spec import TrialConfig
from workers.tune_searcher import SweepSearcher

__all__ = ["ConsecutiveFailures", "JournalCallback", "key_of"]

log = logging.getLogger(__name__)

_END_DETAILS = ("ood_matrix", "numerics")
"""Items of a trial's last record that are no metrics."""


class JournalCallback(Callback):
    """Writes the start, epochs and end of each trial to the journal, each once.

    Args:
        journal: Journal of the sweep.
        attempt: Number of the attempt, from 1.
        searcher: Receives failed trials to retry. A retry is a new trial for Tune, so that other
            trials can run during the pause before it.
        retries: Decides whether and when a failed trial is retried.
    """

    def __init__(
        self, journal: Journal, attempt: int, searcher: SweepSearcher, retries: Retries
    ) -> None:
        self._journal = journal
        self._attempt = attempt
        self._searcher = searcher
        self._retries = retries
        self._keys: dict[str, str] = {}
        self._started: set[str] = set()
        self.consecutive_failures = 0

    def __getstate__(self) -> dict[str, Any]:
        """No state: Tune pickles its callbacks for a restore, which is not used here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Record the start of a trial."""
        self._begin(self._key(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Record an epoch, and the end of the trial if it was the last one."""
        key = self._key(trial)
        if not self._journal.is_recorded(key, result["epoch"]):
            metrics = {name: value for name, value in result.items() if _is_value(name, value)}
            self._journal.append("epoch", key, epoch=result["epoch"], metrics=metrics)
        if "outcome" in result:
            self.consecutive_failures = 0
            details = {name: result[name] for name in _END_DETAILS if name in result}
            self._end(key, Outcome(result["outcome"]), epoch=result["epoch"], **details)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Record the end of a trial that early stopping ended."""
        key = self._key(trial)
        if key not in self._journal.outcomes:
            self._end(key, Outcome.PRUNED, epoch=self._journal.epochs.get(key, 0))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Retry a trial later, or record its end with its traceback."""
        key = self._key(trial)
        self._begin(key)  # Tune reports no start if the actor failed to start
        epoch = self._journal.epochs.get(key, 0)
        text = Path(trial.error_file).read_text(errors="replace") if trial.error_file else ""
        failure = read_failure(text)
        pause = self._retries.pause_seconds(key, failure, epoch)
        if pause is not None:
            log.warning(
                "trial %s failed after epoch %d (%s), retry in %.0f s: %s",
                *(key, epoch, failure.kind, pause, failure.headline),
            )
            self._searcher.retry(TrialConfig.of_accepted_sweep(trial.config["trial"]), pause)
            return
        self.consecutive_failures += 1
        self._end(
            *(key, Outcome.FAILED),
            epoch=epoch,
            failure=failure.kind,
            traceback=failure.traceback,
        )

    def _key(self, trial: Trial) -> str:
        """Trial key of a Tune trial, cached."""
        if trial.trial_id not in self._keys:
            self._keys[trial.trial_id] = key_of(trial)
        return self._keys[trial.trial_id]

    def _begin(self, key: str) -> None:
        """Record the start of a trial once; a retry is no new start."""
        if key not in self._started:
            self._started.add(key)
            self._journal.append("trial_started", key, attempt=self._attempt)

    def _end(self, key: str, outcome: Outcome, **data: Any) -> None:
        """Record the end of a trial once."""
        if key not in self._journal.outcomes:
            self._journal.append("trial_ended", key, outcome=outcome, **data)


def key_of(trial: Trial) -> str:
    """Trial key of the configuration that a Tune trial runs."""
    return TrialConfig.of_accepted_sweep(trial.config["trial"]).key


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
