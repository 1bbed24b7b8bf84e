"""Shares of a sweep: how many trials a process gets at once, and how many shares exist.

    share = one trial                                 while no trial has ended, or trials are long
          = trials of a quarter minute in total, at most a fair part of those that are left   else

Handing out a share costs Tune about a fifth of a core-second, whatever it holds, so short trials
come in large shares. A share is at most the part that leaves each slot of the cluster two more of
its size, so that shares shrink towards the end and all slots end together.

Trials are handed out ahead, so that Ray's autoscaler adds nodes for those that wait: any number of
long trials, but of short ones only one share per slot, because a waiting share can no longer be
divided.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from workers.spec import SweepSpec, TpeSearch

__all__ = ["Shares", "make_shares"]

_SHARE_SECONDS = 15.0
"""Desired duration of a share."""
_PARTS_PER_SLOT = 3
_SHORT_SECONDS = 2.0


class Shares:
    """Decides the size of the next share, from the duration of the trials that have ended.

    Args:
        slots: Returns how many trials the cluster can run at once.
        maximum: Returns how many trials may run or wait at once if each is a share.
        is_single: Whether every share is one trial.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        slots: Callable[[], float],
        maximum: Callable[[], float],
        *,
        is_single: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._maximum = maximum
        self._is_single = is_single
        self._clock = clock
        self._started_at: float | None = None
        self._ended = 0
        self._total_seconds = 0.0

    def start(self) -> None:
        """Record that a process has started a share."""
        if self._started_at is None:
            self._started_at = self._clock()

    def end(self, seconds: float) -> None:
        """Record that a trial has ended.

        Args:
            seconds: Its duration.
        """
        self._ended += 1
        self._total_seconds += seconds

    @property
    def has_short_trials(self) -> bool:
        """Whether trials end so soon that their start is not worth a record of its own."""
        return self._ended > 0 and self._trial_seconds < _SHORT_SECONDS

    @property
    def limit(self) -> float:
        """Maximum number of shares that run or wait at the moment."""
        if self._is_single or self._trial_seconds > _SHARE_SECONDS:
            return self._maximum()
        return min(self._maximum(), 2 * self._slots())

    def size(self, left: int) -> int:
        """Number of trials of the next share.

        Args:
            left: Number of trials that are left to hand out, at least 1.
        """
        if self._is_single or not self._ended:
            return 1
        fair = math.ceil(left / (_PARTS_PER_SLOT * self._slots()))
        return max(1, min(fair, int(_SHARE_SECONDS / max(self._trial_seconds, 1e-3))))

    @property
    def _trial_seconds(self) -> float:
        """Mean duration of a trial; before the first has ended, how long it has run so far."""
        if self._ended:
            return self._total_seconds / self._ended
        return 0.0 if self._started_at is None else self._clock() - self._started_at


def make_shares(specification: SweepSpec, slots: Callable[[], float]) -> Shares:
    """The shares of a sweep.

    A TPE search makes a suggestion only when it can start: a waiting one would not learn from the
    trials that end meanwhile. Early stopping decides about each trial by itself.

    Args:
        specification: Specification of the sweep.
        slots: Returns how many trials the cluster can run at once.
    """
    if isinstance(specification.search, TpeSearch):
        return Shares(slots, slots, is_single=True)
    maximum = specification.resources.max_concurrent or math.inf
    return Shares(slots, lambda: maximum, is_single=specification.early_stopping is not None)
