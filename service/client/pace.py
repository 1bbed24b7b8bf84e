"""When to look at a sweep again: after its events, or now and again, until time is up."""

from __future__ import annotations

import time

from service.client.errors import ProblemError, WaitTimeoutError
from service.client.stream import Event
from service.sweeps.schemas import SweepDetail

__all__ = ["Pace", "has_no_events"]

_HEARTBEAT_SECONDS = 15.0
"""A stream of events gives a sign of life so often."""


class Pace:
    """How often a follower looks, and how long.

    Args:
        poll_seconds: Least time between two looks at trials, and between any two without events.
        timeout_seconds: How long he follows; for ever where None.
    """

    def __init__(self, poll_seconds: float, timeout_seconds: float | None) -> None:
        self._poll_seconds = poll_seconds
        self._timeout_seconds = timeout_seconds
        self._started = self._looked = time.monotonic()

    @property
    def left_seconds(self) -> float:
        """Time that is left."""
        if self._timeout_seconds is None:
            return float("inf")
        return self._started + self._timeout_seconds - time.monotonic()

    @property
    def may_wait_for_events(self) -> bool:
        """Whether the next sign of life comes before time is up."""
        return self.left_seconds > _HEARTBEAT_SECONDS

    @property
    def pause_seconds(self) -> float:
        """Time until the next look without events."""
        return max(0.0, min(self._poll_seconds, self.left_seconds))

    def is_due(self, event: Event | None, detail: SweepDetail) -> bool:
        """Whether to look again after an event, or a sign of life."""
        if event is not None and event.kind == "state":
            due = event.data.get("state") != detail.state
        else:
            due = event is None or time.monotonic() - self._looked >= self._poll_seconds
        self._looked = time.monotonic() if due else self._looked
        return due

    def require_time(self, detail: SweepDetail) -> None:
        """See that there is time left.

        Raises:
            WaitTimeoutError: There is none.
        """
        if self.left_seconds <= 0:
            raise WaitTimeoutError(
                f"sweep {detail.sweep_id} is {detail.state} after {self._timeout_seconds:g} s"
            )


def has_no_events(problem: ProblemError) -> bool:
    """Whether a service, not a sweep, is without events: an earlier version, or a proxy."""
    return problem.status in {404, 405, 406, 501} and problem.code != "unknown-sweep"
