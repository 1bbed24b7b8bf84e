"""Polling interval and timeout of a sweep that is followed until it ends."""

from __future__ import annotations

import time

from service.client.errors import ProblemError, WaitTimeoutError
from service.events import Event
from service.sweeps.schemas import SweepDetail

__all__ = ["PollSchedule", "lacks_event_stream"]

_HEARTBEAT_SECONDS = 15.0
"""Interval of the service's heartbeats in a stream of events."""


class PollSchedule:
    """Decides when to request the state of a sweep again, and when to give up.

    Args:
        poll_seconds: Shortest time between two requests, except after a change of state.
        timeout_seconds: Longest time to follow the sweep; None for no limit.
    """

    def __init__(self, poll_seconds: float, timeout_seconds: float | None) -> None:
        self._poll_seconds = poll_seconds
        self._timeout_seconds = timeout_seconds
        self._started = self._last_poll = time.monotonic()

    @property
    def seconds_left(self) -> float:
        """Time until the timeout; infinite without one."""
        if self._timeout_seconds is None:
            return float("inf")
        return self._started + self._timeout_seconds - time.monotonic()

    @property
    def may_wait_for_events(self) -> bool:
        """Whether the next heartbeat comes before the timeout."""
        return self.seconds_left > _HEARTBEAT_SECONDS

    @property
    def pause_seconds(self) -> float:
        """Time until the next request when there is no stream of events."""
        return max(0.0, min(self._poll_seconds, self.seconds_left))

    def is_due(self, event: Event | None, detail: SweepDetail) -> bool:
        """Whether to request the state after an event, or after a heartbeat (None)."""
        if event is not None and event.kind == "state":
            due = event.data.get("state") != detail.state
        else:
            due = event is None or time.monotonic() - self._last_poll >= self._poll_seconds
        self._last_poll = time.monotonic() if due else self._last_poll
        return due

    def require_time(self, detail: SweepDetail) -> None:
        """Check that the timeout has not passed.

        Raises:
            WaitTimeoutError: It has passed.
        """
        if self.seconds_left <= 0:
            raise WaitTimeoutError(
                f"sweep {detail.sweep_id} is {detail.state} after {self._timeout_seconds:g} s"
            )


def lacks_event_stream(problem: ProblemError) -> bool:
    """Whether the service itself, not the sweep, has no stream: an old version, or a proxy."""
    return problem.status in {404, 405, 406, 501} and problem.code != "unknown-sweep"
