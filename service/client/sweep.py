"""One sweep through a client: follow it, wait for it, and all that ``SweepCalls`` describes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing

from service.client.calls import Awaiting, Blocking
from service.client.errors import ProblemError
from service.client.pace import Pace, has_no_events
from service.client.stream import Event
from service.client.sweep_calls import SweepCalls
from service.client.transport import AsyncTransport, Transport
from service.sweeps.schemas import SweepDetail
from service.sweeps.states import TERMINAL

__all__ = ["AsyncSweep", "Sweep"]

_POLL_SECONDS = 1.0


class Sweep(SweepCalls["Sweep"], Blocking):
    """One sweep."""

    def __init__(self, transport: Transport, detail: SweepDetail) -> None:
        self._transport = transport
        self.detail = detail

    def events(self, *, after: int = 0) -> Generator[Event, None, None]:
        """What happens to it, as it happens, until it has ended.

        An interrupted stream goes on where it was.

        Args:
            after: Number of the last event that is known; 0 begins with the first.

        Raises:
            UnreachableError: The service has gone, and did not come back.
        """
        for event in self._transport.events(self._path("/events"), after):
            if event is not None:
                yield event

    def follow(
        self, *, poll_seconds: float = _POLL_SECONDS, timeout_seconds: float | None = None
    ) -> Generator[SweepDetail, None, None]:
        """Its state whenever it changes, until it has ended; the last is of the ended sweep.

        Args:
            poll_seconds: Least time between two requests.
            timeout_seconds: How long to follow.

        Raises:
            WaitTimeoutError: It has not ended in time.
        """
        pace = Pace(poll_seconds, timeout_seconds)
        yield self.refresh().detail
        try:
            with closing(
                self._transport.events(self._path("/events"), self.detail.last_event)
            ) as events:
                while self.state not in TERMINAL and pace.may_wait_for_events:
                    if pace.is_due(next(events), self.detail):
                        yield self.refresh().detail
        except StopIteration:
            pass
        except ProblemError as problem:
            if not has_no_events(problem):
                raise
        while self.state not in TERMINAL:
            pace.require_time(self.detail)
            self._transport.pause(pace.pause_seconds)
            yield self.refresh().detail

    def wait(
        self, timeout_seconds: float | None = None, *, poll_seconds: float = _POLL_SECONDS
    ) -> Sweep:
        """Wait until it has ended, however it did: see ``state``; a paused one has not.

        Raises:
            WaitTimeoutError: It has not ended in time.
        """
        for _ in self.follow(poll_seconds=poll_seconds, timeout_seconds=timeout_seconds):
            pass
        return self


class AsyncSweep(SweepCalls["AsyncSweep"], Awaiting):
    """One sweep, for an event loop; ``Sweep`` says what its methods do."""

    def __init__(self, transport: AsyncTransport, detail: SweepDetail) -> None:
        self._transport = transport
        self.detail = detail

    async def events(self, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """What happens to it, as it happens, until it has ended."""
        async with aclosing(self._transport.events(self._path("/events"), after)) as events:
            async for event in events:
                if event is not None:
                    yield event

    async def follow(
        self, *, poll_seconds: float = _POLL_SECONDS, timeout_seconds: float | None = None
    ) -> AsyncGenerator[SweepDetail, None]:
        """Its state whenever it changes, until it has ended; the last is of the ended sweep."""
        pace = Pace(poll_seconds, timeout_seconds)
        yield (await self.refresh()).detail
        try:
            async with aclosing(
                self._transport.events(self._path("/events"), self.detail.last_event)
            ) as events:
                while self.state not in TERMINAL and pace.may_wait_for_events:
                    if pace.is_due(await anext(events), self.detail):
                        yield (await self.refresh()).detail
        except StopAsyncIteration:
            pass
        except ProblemError as problem:
            if not has_no_events(problem):
                raise
        while self.state not in TERMINAL:
            pace.require_time(self.detail)
            await self._transport.pause(pace.pause_seconds)
            yield (await self.refresh()).detail

    async def wait(
        self, timeout_seconds: float | None = None, *, poll_seconds: float = _POLL_SECONDS
    ) -> AsyncSweep:
        """Wait until it has ended, however it did: see ``state``."""
        follow = self.follow(poll_seconds=poll_seconds, timeout_seconds=timeout_seconds)
        async with aclosing(follow) as details:
            async for _ in details:
                pass
        return self
