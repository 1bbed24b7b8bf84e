"""Errors of a user's own code.

ValueError
├── SourceError   a source is not Python, or lacks something; found without running it
└── CodeError     the code cannot be imported or called
"""

from __future__ import annotations

__all__ = ["CodeError", "SourceError"]


class SourceError(ValueError):
    """A source is not Python, or lacks something.

    Args:
        message: What is wrong, with the number of the line.
        line: The line; empty if it concerns the whole source.
    """

    def __init__(self, message: str, line: str = "") -> None:
        super().__init__(message)
        self.line = line


class CodeError(ValueError):
    """A user's own code cannot be imported or called; the message is one line."""
