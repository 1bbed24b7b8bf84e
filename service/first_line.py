"""What an error says, in one line."""

from __future__ import annotations

__all__ = ["first_line"]


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its type where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
