"""How often a caller may ask: a token bucket each, in memory.

A bucket holds at most ``burst`` requests and gains ``per_second`` of them. The callers that asked
last are remembered; one that was forgotten starts with a full bucket.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

__all__ = ["RateLimit"]

_REMEMBERED = 10_000


class RateLimit:
    """One bucket a caller; used from one thread.

    Args:
        per_second: Requests a bucket gains in a second.
        burst: Requests it holds.
        clock: Seconds.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, caller: Hashable) -> float:
        """Take a request from a caller's bucket.

        Returns:
            0, or the seconds until there is one.
        """
        now = self._clock()
        left, then = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._per_second)
        wait_seconds = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[caller] = (left if wait_seconds else left - 1, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return wait_seconds
