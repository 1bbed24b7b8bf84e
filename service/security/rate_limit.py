"""Rate limit: one token bucket per caller, in memory.

A bucket holds at most ``burst`` requests and is refilled with ``per_second``. The buckets of the
most recent callers are kept; all others start with a full bucket.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

__all__ = ["RateLimit"]

_MAX_BUCKETS = 10_000


class RateLimit:
    """One token bucket per caller; not thread-safe.

    Args:
        per_second: Requests added to a bucket per second.
        burst: Capacity of a bucket.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, caller: Hashable) -> float:
        """Take one request from the bucket of a caller.

        Returns:
            0 if there was one, else the seconds until there is.
        """
        now = self._clock()
        left, then = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._per_second)
        wait_seconds = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[caller] = (left if wait_seconds else left - 1, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return wait_seconds
