"""Event storage: events are appended in the transaction of the change that causes them.

    append    n <- last_event + 1 under the lock of the sweep's row; insert event n

The lock is held until the commit, so the events of a sweep become visible in the order of their
numbers: when a reader sees event n, every earlier event is visible or has been deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.orm import Session

from service.events.schemas import EventKind
from service.storage import EventRow, SweepRow
from workers.metrics import Outcome

__all__ = ["EventRepository"]

_SUPERSEDED = (EventKind.REASON, EventKind.PROGRESS)
"""Kinds of events that later events of the same kind supersede."""
_KEPT_SUPERSEDED = 1_000
"""Superseded events further back than this many numbers are deleted."""
_TRIM_EVERY = 100
"""Events between two deletions."""


class EventRepository:
    """The events of sweeps, in the caller's transaction; never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, sweep_id: str, *events: tuple[EventKind, Mapping[str, Any]]) -> None:
        """Append events to a sweep, in this order; does nothing if the sweep was deleted."""
        if not events:
            return
        last = self._session.scalar(
            update(SweepRow)
            .where(SweepRow.sweep_id == sweep_id)
            .values(last_event=SweepRow.last_event + len(events))
            .returning(SweepRow.last_event)
            .execution_options(synchronize_session=False)
        )
        if last is None:
            return
        first, now = last - len(events) + 1, datetime.now(UTC)
        rows = [
            {"sweep_id": sweep_id, "number": number, "kind": kind, "data": data, "created_at": now}
            for number, (kind, data) in enumerate(events, first)
        ]
        self._session.execute(insert(EventRow), rows)
        if last // _TRIM_EVERY != (first - 1) // _TRIM_EVERY:
            self._drop_superseded(sweep_id, last - _KEPT_SUPERSEDED)

    def after(self, sweep_id: str, number: int, *, limit: int) -> Sequence[EventRow]:
        """Events after ``number``, oldest first."""
        query = select(EventRow).where(EventRow.sweep_id == sweep_id, EventRow.number > number)
        return self._session.scalars(query.order_by(EventRow.number).limit(limit)).all()

    def newest(
        self, sweep_id: str, *, limit: int, all_trials: bool, before: int | None = None
    ) -> Sequence[EventRow]:
        """Events of a sweep except the progress of its trials, newest first.

        Args:
            sweep_id: The sweep.
            limit: Largest number of events.
            all_trials: Include the events of all trials, else only of failed trials.
            before: Only events before this number.
        """
        is_shown_trial = EventRow.kind == EventKind.TRIAL
        if not all_trials:
            is_shown_trial &= EventRow.data["status"].as_string() == Outcome.FAILED
        others = (EventKind.STATE, EventKind.REASON, EventKind.EXTENDED, EventKind.REPAIRED)
        query = select(EventRow).where(
            EventRow.sweep_id == sweep_id, or_(EventRow.kind.in_(others), is_shown_trial)
        )
        if before is not None:
            query = query.where(EventRow.number < before)
        return self._session.scalars(query.order_by(EventRow.number.desc()).limit(limit)).all()

    def heads(self, sweep_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Number of the newest event, and state, by sweep id; deleted sweeps are missing."""
        query = select(SweepRow.sweep_id, SweepRow.last_event, SweepRow.state)
        rows = self._session.execute(query.where(SweepRow.sweep_id.in_(sweep_ids)))
        return {sweep_id: (number, state) for sweep_id, number, state in rows}

    def forget_ended(self, before: datetime) -> None:
        """Delete all events but the last of sweeps that ended before the given time."""
        ended = select(SweepRow.sweep_id).where(SweepRow.ended_at < before)
        newest = (
            select(SweepRow.last_event)
            .where(SweepRow.sweep_id == EventRow.sweep_id)
            .scalar_subquery()
        )
        self._session.execute(
            delete(EventRow)
            .where(EventRow.sweep_id.in_(ended), EventRow.number < newest)
            .execution_options(synchronize_session=False)
        )

    def _drop_superseded(self, sweep_id: str, number: int) -> None:
        """Delete the superseded events up to ``number``."""
        self._session.execute(
            delete(EventRow)
            .where(
                EventRow.sweep_id == sweep_id,
                EventRow.number <= number,
                EventRow.kind.in_(_SUPERSEDED),
            )
            .execution_options(synchronize_session=False)
        )
