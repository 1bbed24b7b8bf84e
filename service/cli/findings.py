"""Findings of ``sasam doctor``: result and type of a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings

__all__ = ["Check", "Finding", "Level", "error", "ok", "warning"]


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    """It works, but slowly or not in every case."""
    ERROR = "error"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a check.

    Attributes:
        level: Severity.
        message: The state that was found.
        remedy: How to mend it; empty if nothing is wrong.
    """

    level: Level
    message: str
    remedy: str = ""


Check = Callable[["Settings"], Finding]
"""A check of the machine or the service. If it raises, the exception becomes its finding."""


def ok(message: str) -> Finding:
    """Create a finding of something that works."""
    return Finding(Level.OK, message)


def warning(message: str, remedy: str) -> Finding:
    """Create a finding of something that works slowly or not in every case."""
    return Finding(Level.WARNING, message, remedy)


def error(message: str, remedy: str) -> Finding:
    """Create a finding of something that does not work."""
    return Finding(Level.ERROR, message, remedy)
