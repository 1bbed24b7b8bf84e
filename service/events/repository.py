"""Events of sweeps: appended in the transaction of the change that they tell of; never commits.

    append    n <- last_event + 1 under the lock of the sweep's row; insert event n

The lock is held until the commit, so the events of a sweep become visible in the order of their
numbers: a reader that has seen number n has seen, or will never see, all before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.orm import Session

from service.storage import EventRow, SweepRow
from workers.metrics import Outcome

__all__ = ["EventKind", "EventRepository"]

_KEPT_PASSING = 1_000
"""How far back events that later ones supersede are kept."""
_TRIM_EVERY = 100


class EventKind(StrEnum):
    """What an event tells of."""

    STATE = "state"
    """The sweep changed its state."""
    REASON = "reason"
    """It waits for something else, or for nothing more."""
    TRIAL = "trial"
    """A trial started or ended."""
    PROGRESS = "progress"
    """Running trials ended epochs."""
    REPAIRED = "repaired"
    """The trials were read again from MLflow, all of them."""


_PASSING = (EventKind.REASON, EventKind.PROGRESS)


class EventRepository:
    """Events in one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, sweep_id: str, *events: tuple[EventKind, Mapping[str, Any]]) -> None:
        """Add events to a sweep, in this order; a sweep that is gone has none."""
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
            self._drop_superseded(sweep_id, last - _KEPT_PASSING)

    def after(self, sweep_id: str, number: int, *, limit: int) -> Sequence[EventRow]:
        """Events behind ``number``, oldest first."""
        query = select(EventRow).where(EventRow.sweep_id == sweep_id, EventRow.number > number)
        return self._session.scalars(query.order_by(EventRow.number).limit(limit)).all()

    def newest(
        self, sweep_id: str, *, limit: int, all_trials: bool, before: int | None = None
    ) -> Sequence[EventRow]:
        """What happened to a sweep but for the epochs of its trials, newest first.

        Args:
            sweep_id: The sweep.
            limit: At most so many.
            all_trials: What happened to any trial; else only to those that failed.
            before: Only events before the one of this number.
        """
        is_told = EventRow.kind == EventKind.TRIAL
        if not all_trials:
            is_told &= EventRow.data["status"].as_string() == Outcome.FAILED
        others = (EventKind.STATE, EventKind.REASON, EventKind.REPAIRED)
        query = select(EventRow).where(
            EventRow.sweep_id == sweep_id, or_(EventRow.kind.in_(others), is_told)
        )
        if before is not None:
            query = query.where(EventRow.number < before)
        return self._session.scalars(query.order_by(EventRow.number.desc()).limit(limit)).all()

    def heads(self, sweep_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Number of the newest event, and state, of each sweep that is there."""
        query = select(SweepRow.sweep_id, SweepRow.last_event, SweepRow.state)
        rows = self._session.execute(query.where(SweepRow.sweep_id.in_(sweep_ids)))
        return {sweep_id: (number, state) for sweep_id, number, state in rows}

    def forget_ended(self, before: datetime) -> None:
        """Keep only the last event of sweeps that ended before a moment."""
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
        self._session.execute(
            delete(EventRow)
            .where(
                EventRow.sweep_id == sweep_id,
                EventRow.number <= number,
                EventRow.kind.in_(_PASSING),
            )
            .execution_options(synchronize_session=False)
        )
