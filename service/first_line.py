"""First line of an error's message, for logs and messages of one line."""

from __future__ import annotations

__all__ = ["first_line"]


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its type if it has no message."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
