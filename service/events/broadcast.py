"""One poller a process, any number of readers.

    poller     every moment, one query: newest number and state of the sweeps that are followed;
               what is new is read once and kept in a window of the newest events
    reader     takes what it lacks from the window, or pages through the database behind it, then
               waits for the poller

A reader holds a coroutine and a number: no thread, no connection, no queue. One that is slow falls
out of the window and reads its pages by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from service.events.repository import EventRepository
from service.events.schemas import EventView
from service.first_line import first_line
from service.storage import Database
from service.sweeps.lifecycle import TERMINAL

__all__ = ["Broadcast"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_WINDOW = 1_000
_PAGE = 500


class Broadcast:
    """The events of a database's sweeps, for the readers of one event loop.

    Args:
        database: Where events are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._channels: dict[str, _Channel] = {}
        self._poller: asyncio.Task[None] | None = None

    async def follow(self, sweep_id: str, after: int) -> AsyncIterator[EventView]:
        """Events behind number ``after``, until the sweep has ended or is gone."""
        channel = self._join(sweep_id)
        try:
            while True:
                seen = channel.changes
                events = channel.behind(after)
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
        channel = self._channels.setdefault(sweep_id, _Channel())
        channel.readers += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="events")
        return channel

    def _leave(self, sweep_id: str, channel: _Channel) -> None:
        channel.readers -= 1
        if not channel.readers:
            del self._channels[sweep_id]

    async def _poll(self) -> None:
        """Feed the channels while there are any."""
        while self._channels:
            known = {sweep_id: channel.head for sweep_id, channel in self._channels.items()}
            try:
                news = await run_in_threadpool(self._news, known)
            except SQLAlchemyError as error:
                log.warning("events cannot be read, next try soon: %s", first_line(error))
            except Exception:
                log.exception("events cannot be read, next try soon")
            else:
                for sweep_id in known:
                    channel = self._channels.get(sweep_id)
                    if channel is not None and channel.head == known[sweep_id]:
                        channel.take(news.get(sweep_id))
            await asyncio.sleep(_POLL_SECONDS)

    def _news(self, known: dict[str, int]) -> dict[str, _News]:
        """What is new of each sweep that is there; from number -1 on, only where it stands."""
        with self._database.snapshot() as session:
            events = EventRepository(session)
            found: dict[str, _News] = {}
            for sweep_id, (head, state) in events.heads(list(known)).items():
                rows: Sequence[EventView] = ()
                is_over = state in TERMINAL
                if known[sweep_id] not in {_UNKNOWN, head}:
                    rows = [
                        EventView.of(row)
                        for row in events.after(sweep_id, known[sweep_id], limit=_WINDOW)
                    ]
                    if len(rows) == _WINDOW:  # the next look brings the rest
                        head, is_over = rows[-1].number, False
                found[sweep_id] = (head, is_over, rows)
            return found

    def _page(self, sweep_id: str, after: int) -> list[EventView]:
        with self._database.snapshot() as session:
            rows = EventRepository(session).after(sweep_id, after, limit=_PAGE)
            return [EventView.of(row) for row in rows]


_UNKNOWN = -1
_News = tuple[int, bool, Sequence[EventView]]
"""Newest number, whether nothing comes behind it, new events."""


class _Channel:
    """The newest events of one sweep, and a bell."""

    def __init__(self) -> None:
        self.readers = 0
        self.head = _UNKNOWN
        self.is_over = False
        self.changes = 0
        self._floor = 0
        """The window holds everything behind this number, once the head is known."""
        self._window: deque[EventView] = deque()
        self._bell = asyncio.Event()

    def take(self, news: _News | None) -> None:
        """Add what the poller found; None when the sweep is gone."""
        before = (self.head, self.is_over)
        if news is None:
            self.is_over = True
        else:
            if self.head == _UNKNOWN:
                self._floor = news[0]
            self.head, self.is_over, events = news
            self._window.extend(events)
            while len(self._window) > _WINDOW:
                self._floor = self._window.popleft().number
        if (self.head, self.is_over) != before:
            self.changes += 1
            self._bell.set()
            self._bell = asyncio.Event()

    def behind(self, number: int) -> list[EventView] | None:
        """Events behind a number; None when the window does not reach back so far."""
        if self.head == _UNKNOWN or number < self._floor:
            return None
        return [event for event in self._window if event.number > number]

    async def wait(self, seen: int) -> None:
        """Wait until there was another change than those a reader has seen."""
        if self.changes == seen:
            await self._bell.wait()
