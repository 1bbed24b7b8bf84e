"""States of a sweep, its commands, and the one table of transitions.

    queued -> starting -> running -> completed | failed
    running, starting -> queued              the driver died and is started again
    queued, starting, running -> pausing -> paused -> queued
    any live state -> cancelling -> cancelled
    completed, failed, cancelled -> queued   retry of trials without a result, extension

Pure: the client and the command line import it without a database.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "COMMANDS",
    "LIVE",
    "TERMINAL",
    "TRANSITIONS",
    "WITH_DRIVER",
    "Command",
    "SweepState",
    "allowed_commands",
]


class SweepState(StrEnum):
    """State of a sweep."""

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
    """Command of a user to a sweep."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY_FAILED = "retry-failed"
    EXTEND = "extend"
    DELETE = "delete"


_S = SweepState

TERMINAL = frozenset({_S.CANCELLED, _S.COMPLETED, _S.FAILED})
LIVE = frozenset(SweepState) - TERMINAL
WITH_DRIVER = LIVE - {_S.QUEUED, _S.PAUSED}
"""States in which a sweep may have a driver, and occupies one of the places."""

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
"""States before and after each command that changes the state."""


def allowed_commands(state: SweepState) -> list[Command]:
    """The commands that a sweep in ``state`` accepts."""
    allowed = [command for command, changes in COMMANDS.items() if state in changes]
    if state is not _S.CANCELLING:
        allowed.append(Command.EXTEND)
    return [*allowed, Command.DELETE] if state in TERMINAL else allowed
