"""Transitions of sweeps: the only function that changes a sweep's state, by ``service.states``.

Every change is a compare-and-set: it names the state it starts from, and does nothing if another
process changed the state first. The event of the change is stored in the same transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from service.events import EventKind
from service.events.repository import EventRepository
from service.states import TERMINAL, TRANSITIONS, SweepState
from service.storage.tables import SweepRow

__all__ = ["transition"]


def transition(
    session: Session, sweep_id: str, before: SweepState, after: SweepState, **values: Any
) -> bool:
    """Change a sweep's state if it is still ``before``.

    Args:
        session: An open transaction.
        sweep_id: The sweep.
        before: The state it must have.
        after: The state it gets.
        values: Further columns to set in the same statement.

    Returns:
        Whether it changed; False if the state was another one.

    Raises:
        ValueError: The table has no such transition.
    """
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before]))
        raise ValueError(f"no transition from {before} to {after} (allowed: {allowed})")
    if after in TERMINAL:
        values.setdefault("ended_at", datetime.now(UTC))
    elif after == SweepState.QUEUED and before in {*TERMINAL, SweepState.PAUSED}:
        # Its time starts again, and the list has it again.
        values = {"started_at": None, "ended_at": None, "archived_at": None} | values
    values = {"reason": None} | values
    attempt = session.scalar(
        update(SweepRow)
        .where(SweepRow.sweep_id == sweep_id, SweepRow.state == before)
        .values(state=after, **values)
        .returning(SweepRow.attempt)
        .execution_options(synchronize_session=False)
    )
    if attempt is None:
        return False
    change = {"state": after, "before": before, "reason": values["reason"], "attempt": attempt}
    EventRepository(session).append(sweep_id, (EventKind.STATE, change))
    return True
