"""Ray Tune searcher that hands out a sweep's trials and takes back failed ones to retry.

Tune's own retries start at once and do not distinguish causes of failure.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from ray.tune.search import Searcher

from workers.spec import TrialConfig
from workers.trial_sources import TrialSource

__all__ = ["SweepSearcher"]


class SweepSearcher(Searcher):
    """Gives the trials of a source to Tune, as many at a time as the limit allows.

    Args:
        source: The remaining trials.
        settings: The part of a trial's Tune configuration that is the same for all trials.
        recorded: Last recorded epoch by trial key.
        limit: Returns the number of trials that may be with Tune at the same time.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        source: TrialSource,
        settings: Mapping[str, Any],
        recorded: Mapping[str, int],
        limit: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._source = source
        self._settings = dict(settings)
        self._recorded = recorded
        self._limit = limit
        self._clock = clock
        self._active: set[str] = set()
        self._retries: list[tuple[float, int, TrialConfig]] = []
        self._order = count()

    def __getstate__(self) -> dict[str, Any]:
        """No state: Tune pickles its searcher for a restore, which is not used here."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration; None if there is none now, FINISHED if none will come."""
        is_due = bool(self._retries) and self._retries[0][0] <= self._clock()
        if not (is_due or self._source.left):
            return None if self._active or self._retries else self.FINISHED
        if len(self._active) >= self._limit():
            return None
        trial = heapq.heappop(self._retries)[2] if is_due else self._source.take()
        self._active.add(trial_id)
        return {
            **self._settings,
            "trial": trial.model_dump(mode="json"),
            "recorded": self._recorded.get(trial.key, 0),
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Make room for another trial."""
        self._active.discard(trial_id)

    def retry(self, trial: TrialConfig, pause_seconds: float) -> None:
        """Suggest a failed trial again after a pause, before all others."""
        heapq.heappush(self._retries, (self._clock() + pause_seconds, next(self._order), trial))

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the journal is the state."""
