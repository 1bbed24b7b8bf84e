"""``Sweep`` and ``AsyncSweep``: one sweep, its events, and waiting until it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing

from service.client.errors import ProblemError
from service.client.operations import AsyncOperations, BlockingOperations
from service.client.polling import PollSchedule, lacks_event_stream
from service.client.sweep_operations import SweepOperations
from service.client.transport import AsyncTransport, Transport
from service.events import Event
from service.states import TERMINAL
from service.sweeps.schemas import SweepDetail

__all__ = ["AsyncSweep", "Sweep"]

_POLL_SECONDS = 1.0


class Sweep(SweepOperations["Sweep"], BlockingOperations):
    """One sweep."""

    _transport: Transport

    def __init__(self, transport: Transport, detail: SweepDetail) -> None:
        self._transport = transport
        self.detail = detail

    def events(self, *, after: int = 0) -> Generator[Event, None, None]:
        """The events of the sweep, as they happen, until it has ended.

        An interrupted stream is resumed after the last event received.

        Args:
            after: Number of the last event that is known; 0 starts with the first event.

        Raises:
            UnreachableError: The service stopped answering.
        """
        for event in self._transport.events(self._path("/events"), after):
            if event is not None:
                yield event

    def follow(
        self, *, poll_seconds: float = _POLL_SECONDS, timeout_seconds: float | None = None
    ) -> Generator[SweepDetail, None, None]:
        """The details of the sweep at each change, until it has ended; the last are final.

        Args:
            poll_seconds: Shortest time between two requests, except after a change of state.
            timeout_seconds: Longest time to follow the sweep; None for no limit.

        Raises:
            WaitTimeoutError: The sweep has not ended within ``timeout_seconds``.
        """
        schedule = PollSchedule(poll_seconds, timeout_seconds)
        yield self.refresh().detail
        try:
            with closing(
                self._transport.events(self._path("/events"), self.detail.last_event)
            ) as events:
                while self.state not in TERMINAL and schedule.may_wait_for_events:
                    if schedule.is_due(next(events), self.detail):
                        yield self.refresh().detail
        except StopIteration:
            pass
        except ProblemError as problem:
            if not lacks_event_stream(problem):
                raise
        while self.state not in TERMINAL:
            schedule.require_time(self.detail)
            self._transport.pause(schedule.pause_seconds)
            yield self.refresh().detail

    def wait(
        self, timeout_seconds: float | None = None, *, poll_seconds: float = _POLL_SECONDS
    ) -> Sweep:
        """Wait until the sweep has ended, in whichever ``state``; a paused sweep has not ended.

        Raises:
            WaitTimeoutError: The sweep has not ended within ``timeout_seconds``.
        """
        for _ in self.follow(poll_seconds=poll_seconds, timeout_seconds=timeout_seconds):
            pass
        return self


class AsyncSweep(SweepOperations["AsyncSweep"], AsyncOperations):
    """One sweep, for an event loop; ``Sweep`` documents the methods."""

    _transport: AsyncTransport

    def __init__(self, transport: AsyncTransport, detail: SweepDetail) -> None:
        self._transport = transport
        self.detail = detail

    async def events(self, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events of the sweep, as they happen, until it has ended."""
        async with aclosing(self._transport.events(self._path("/events"), after)) as events:
            async for event in events:
                if event is not None:
                    yield event

    async def follow(
        self, *, poll_seconds: float = _POLL_SECONDS, timeout_seconds: float | None = None
    ) -> AsyncGenerator[SweepDetail, None]:
        """The details of the sweep at each change, until it has ended; the last are final."""
        schedule = PollSchedule(poll_seconds, timeout_seconds)
        yield (await self.refresh()).detail
        try:
            async with aclosing(
                self._transport.events(self._path("/events"), self.detail.last_event)
            ) as events:
                while self.state not in TERMINAL and schedule.may_wait_for_events:
                    if schedule.is_due(await anext(events), self.detail):
                        yield (await self.refresh()).detail
        except StopAsyncIteration:
            pass
        except ProblemError as problem:
            if not lacks_event_stream(problem):
                raise
        while self.state not in TERMINAL:
            schedule.require_time(self.detail)
            await self._transport.pause(schedule.pause_seconds)
            yield (await self.refresh()).detail

    async def wait(
        self, timeout_seconds: float | None = None, *, poll_seconds: float = _POLL_SECONDS
    ) -> AsyncSweep:
        """Wait until the sweep has ended, in whichever ``state``."""
        follow = self.follow(poll_seconds=poll_seconds, timeout_seconds=timeout_seconds)
        async with aclosing(follow) as details:
            async for _ in details:
                pass
        return self
