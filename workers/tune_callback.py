"""From Ray Tune to the journal, from which `workers.delivery` feeds MLflow.

The callback runs in Tune's event loop: it appends to a file and waits for nothing.
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
from workers.trial_sources import SweepSearch

__all__ = ["ConsecutiveFailures", "JournalCallback", "key_of"]

log = logging.getLogger(__name__)


class JournalCallback(Callback):
    """Writes what Tune sees of the trials to the journal, every epoch once.

    Args:
        journal: Where to.
        attempt: Number of the driver.
        search: Takes back trials that are tried again: a retry is a new trial to Tune, which can
            wait for its time while others run.
        retries: Decides which are.
    """

    def __init__(
        self, journal: Journal, attempt: int, search: SweepSearch, retries: Retries
    ) -> None:
        self._journal = journal
        self._attempt = attempt
        self._search = search
        self._retries = retries
        self._keys: dict[str, str] = {}
        self._started: set[str] = set()
        self.consecutive_failures = 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that never happens here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the start."""
        self._begin(self._key(trial))

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
        """Try a trial again later, or note its end with its traceback."""
        key = self._key(trial)
        self._begin(key)  # where its process could not, Tune has not told of a start
        epoch = self._journal.epochs.get(key, 0)
        text = Path(trial.error_file).read_text(errors="replace") if trial.error_file else ""
        failure = read_failure(text)
        pause = self._retries.pause_seconds(key, failure, epoch)
        if pause is not None:
            log.warning(
                "trial %s failed after epoch %d (%s), tried again in %.0f s: %s",
                *(key, epoch, failure.kind, pause, failure.headline),
            )
            self._search.put_back(TrialConfig.model_validate(trial.config["trial"]), pause)
            return
        self.consecutive_failures += 1
        self._end(
            *(key, Outcome.FAILED),
            epoch=epoch,
            failure=failure.kind,
            traceback=failure.traceback,
        )

    def _key(self, trial: Trial) -> str:
        """The key of a Tune trial, worked out once."""
        if trial.trial_id not in self._keys:
            self._keys[trial.trial_id] = key_of(trial)
        return self._keys[trial.trial_id]

    def _begin(self, key: str) -> None:
        """Note the start of a trial once; a retry is the same start."""
        if key not in self._started:
            self._started.add(key)
            self._journal.append("trial_started", key, attempt=self._attempt)

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


def _is_value(name: str, value: Any) -> bool:
    """Whether an item of a result is a finite metric."""
    return (
        is_metric(name)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
