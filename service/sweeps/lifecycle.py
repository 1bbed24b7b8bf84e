"""States of a sweep, the one table of transitions, and the one gateway that changes a state.

    queued -> starting -> running -> completed | failed
    running, starting -> queued              the driver died and is started again
    queued, starting, running -> pausing -> paused -> queued
    any live state -> cancelling -> cancelled
    completed, failed, cancelled -> queued   retry of what is missing

Every change is a compare-and-set: it names the state it starts from, and does nothing when another
process was faster. The event that tells of it is stored with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from service.events.repository import EventKind, EventRepository
from service.storage.tables import SweepRow

__all__ = [
    "COMMANDS",
    "LIVE",
    "TERMINAL",
    "TRANSITIONS",
    "Command",
    "SweepState",
    "allowed_commands",
    "transition",
]


class SweepState(StrEnum):
    """Where a sweep stands."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"


class Command(StrEnum):
    """What a user can ask of a sweep."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY_FAILED = "retry-failed"
    DELETE = "delete"


_S = SweepState

TERMINAL = frozenset({_S.CANCELLED, _S.COMPLETED, _S.FAILED})
LIVE = frozenset(SweepState) - TERMINAL

TRANSITIONS: dict[SweepState, frozenset[SweepState]] = {
    _S.QUEUED: frozenset({_S.STARTING, _S.PAUSED, _S.CANCELLING, _S.FAILED}),
    _S.STARTING: frozenset({_S.RUNNING, _S.QUEUED, _S.PAUSING, _S.CANCELLING, _S.FAILED}),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.QUEUED, _S.PAUSING, _S.CANCELLING}),
    _S.PAUSING: frozenset({_S.PAUSED, _S.COMPLETED, _S.FAILED, _S.CANCELLING}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.CANCELLING}),
    _S.CANCELLING: frozenset({_S.CANCELLED}),
    _S.CANCELLED: frozenset({_S.QUEUED}),
    _S.COMPLETED: frozenset({_S.QUEUED}),
    _S.FAILED: frozenset({_S.QUEUED}),
}

COMMANDS: dict[Command, dict[SweepState, SweepState]] = {
    Command.PAUSE: {
        _S.QUEUED: _S.PAUSED,
        _S.STARTING: _S.PAUSING,
        _S.RUNNING: _S.PAUSING,
    },
    Command.RESUME: {_S.PAUSED: _S.QUEUED},
    Command.CANCEL: dict.fromkeys(LIVE - {_S.CANCELLING}, _S.CANCELLING),
    Command.RETRY_FAILED: dict.fromkeys(TERMINAL, _S.QUEUED),
}
"""State before and after each command that changes a state."""


def allowed_commands(state: SweepState) -> list[Command]:
    """The commands that a sweep in ``state`` takes."""
    allowed = [command for command, changes in COMMANDS.items() if state in changes]
    return [*allowed, Command.DELETE] if state in TERMINAL else allowed


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
        Whether it changed; False when the state was another one.

    Raises:
        ValueError: The table has no such transition.
    """
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before]))
        raise ValueError(f"no transition from {before} to {after} (allowed: {allowed})")
    if after in TERMINAL:
        values.setdefault("ended_at", datetime.now(UTC))
    elif before in TERMINAL:
        values = {"started_at": None, "ended_at": None} | values
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
