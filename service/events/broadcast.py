"""Broadcast of events: one database poller per process, any number of readers.

    poller     every half second, and when a sweep gets its first reader, one query for the newest
               number and the state of all sweeps with readers; new events are read once and kept in
               a window of the newest events
    reader     takes the events it lacks from the window, or pages through the database if they are
               older, then waits for the poller

A reader is a coroutine and a number: it has no thread, no connection and no queue. A slow reader
falls behind the window and pages through the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from service.events.repository import EventRepository
from service.events.schemas import EventView
from service.first_line import first_line
from service.states import TERMINAL
from service.storage import Database

__all__ = ["Broadcast"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_WINDOW_EVENTS = 1_000
_PAGE_EVENTS = 500


class Broadcast:
    """Streams the events of sweeps to the readers of one event loop.

    Args:
        database: The database with the events.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._channels: dict[str, _Channel] = {}
        self._poller: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()
        """Set when a sweep gets its first reader, who need not wait for the next poll."""

    async def follow(self, sweep_id: str, after: int) -> AsyncIterator[EventView]:
        """Events after number ``after``, until the sweep has ended or is deleted."""
        channel = self._join(sweep_id)
        try:
            while True:
                seen = channel.changes
                events = channel.after(after)
                if events is None:
                    events = await run_in_threadpool(self._page, sweep_id, after)
                for event in events:
                    yield event
                    after = event.number
                if events:
                    continue
                if channel.is_over and channel.changes == seen:
                    return
                await channel.wait(seen)
        finally:
            self._leave(sweep_id, channel)

    def _join(self, sweep_id: str) -> _Channel:
        channel = self._channels.get(sweep_id)
        if channel is None:
            channel = self._channels[sweep_id] = _Channel()
            self._joined.set()
        channel.readers += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="events")
        return channel

    def _leave(self, sweep_id: str, channel: _Channel) -> None:
        channel.readers -= 1
        if not channel.readers:
            del self._channels[sweep_id]

    async def _poll(self) -> None:
        """Update the channels until there are none."""
        while self._channels:
            self._joined.clear()
            heads = {sweep_id: channel.head for sweep_id, channel in self._channels.items()}
            try:
                updates = await run_in_threadpool(self._read_updates, heads)
            except SQLAlchemyError as error:
                log.warning("events cannot be read, retrying soon: %s", first_line(error))
            except Exception:
                log.exception("events cannot be read, retrying soon")
            else:
                for sweep_id in heads:
                    channel = self._channels.get(sweep_id)
                    if channel is not None and channel.head == heads[sweep_id]:
                        channel.update(updates.get(sweep_id))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._joined.wait(), _POLL_SECONDS)

    def _read_updates(self, heads: dict[str, int]) -> dict[str, _Update]:
        """The update of each sweep that exists; without events if its head is unknown so far."""
        with self._database.snapshot() as session:
            events = EventRepository(session)
            updates: dict[str, _Update] = {}
            for sweep_id, (head, state) in events.heads(list(heads)).items():
                rows: Sequence[EventView] = ()
                is_over = state in TERMINAL
                if heads[sweep_id] not in {_UNKNOWN, head}:
                    rows = [
                        EventView.of(row)
                        for row in events.after(sweep_id, heads[sweep_id], limit=_WINDOW_EVENTS)
                    ]
                    if len(rows) == _WINDOW_EVENTS:  # the next poll reads the rest
                        head, is_over = rows[-1].number, False
                updates[sweep_id] = (head, is_over, rows)
            return updates

    def _page(self, sweep_id: str, after: int) -> list[EventView]:
        """One page of events from the database."""
        with self._database.snapshot() as session:
            rows = EventRepository(session).after(sweep_id, after, limit=_PAGE_EVENTS)
            return [EventView.of(row) for row in rows]


_UNKNOWN = -1
_Update = tuple[int, bool, Sequence[EventView]]
"""Number of the newest event, whether it is the last of an ended sweep, new events."""


class _Channel:
    """The window of the newest events of one sweep, and a signal for its readers."""

    def __init__(self) -> None:
        self.readers = 0
        self.head = _UNKNOWN
        self.is_over = False
        self.changes = 0
        self._floor = 0
        """The window holds all events after this number, once the head is known."""
        self._window: deque[EventView] = deque()
        self._changed = asyncio.Event()

    def update(self, update: _Update | None) -> None:
        """Add what the poller read; None if the sweep was deleted."""
        before = (self.head, self.is_over)
        if update is None:
            self.is_over = True
        else:
            if self.head == _UNKNOWN:
                self._floor = update[0]
            self.head, self.is_over, events = update
            self._window.extend(events)
            while len(self._window) > _WINDOW_EVENTS:
                self._floor = self._window.popleft().number
        if (self.head, self.is_over) != before:
            self.changes += 1
            self._changed.set()
            self._changed = asyncio.Event()

    def after(self, number: int) -> list[EventView] | None:
        """Events after a number; None if the window does not reach back that far."""
        if self.head == _UNKNOWN or number < self._floor:
            return None
        return [event for event in self._window if event.number > number]

    async def wait(self, seen: int) -> None:
        """Wait for a change after the ``seen`` changes that the reader knows."""
        if self.changes == seen:
            await self._changed.wait()
