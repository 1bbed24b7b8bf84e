"""Ray Tune searcher that hands out a sweep's trials in shares and takes back those to run again.

Tune's own retries start at once and do not distinguish causes of failure.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from ray.tune.search import Searcher

from workers.shares import Shares
from workers.spec import TrialConfig
from workers.trial_sources import TrialSource

__all__ = ["SweepSearcher"]


class SweepSearcher(Searcher):
    """Gives the trials of a source to Tune, as many at a time as the shares allow.

    A trial of Tune runs a share of the sweep's trials, see `workers.trainable`.

    Args:
        source: The remaining trials.
        settings: The part of a share's Tune configuration that is the same for all shares.
        recorded: Last recorded epoch by trial key.
        shares: Decides the number and size of shares.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        source: TrialSource,
        settings: Mapping[str, Any],
        recorded: Mapping[str, int],
        shares: Shares,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._source = source
        self._settings = dict(settings)
        self._recorded = recorded
        self._shares = shares
        self._clock = clock
        self._active: set[str] = set()
        self._retries: list[tuple[float, int, TrialConfig]] = []
        self._returned: deque[TrialConfig] = deque()
        self._order = count()

    def __getstate__(self) -> dict[str, Any]:
        """No state: Tune pickles its searcher for a restore, which is not used here."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The next share's configuration; None if there is none now, FINISHED if none will come."""
        is_due = bool(self._retries) and self._retries[0][0] <= self._clock()
        left = len(self._returned) + self._source.left
        if not (is_due or left):
            return None if self._active or self._retries else self.FINISHED
        if len(self._active) >= self._shares.limit:
            return None
        if is_due:
            share = [heapq.heappop(self._retries)[2]]
        else:
            share = [self._take() for _ in range(self._shares.size(left))]
        self._active.add(trial_id)
        return {
            **self._settings,
            "trials": [
                {
                    "key": trial.key,
                    "trial": trial.model_dump(mode="json"),
                    "recorded": self._recorded.get(trial.key, 0),
                }
                for trial in share
            ],
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Make room for another share."""
        self._active.discard(trial_id)

    def retry(self, trial: TrialConfig, pause_seconds: float) -> None:
        """Suggest a failed trial again after a pause, alone and before all others."""
        heapq.heappush(self._retries, (self._clock() + pause_seconds, next(self._order), trial))

    def put_back(self, trials: Iterable[TrialConfig]) -> None:
        """Suggest trials again that their share has not started, before those of the source."""
        self._returned.extend(trials)

    def _take(self) -> TrialConfig:
        """The next trial that has not been handed out."""
        return self._returned.popleft() if self._returned else self._source.take()

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the journal is the state."""
