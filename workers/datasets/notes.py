"""Wording of notes about data: counts with the singular or the plural."""

from __future__ import annotations

__all__ = ["counted", "counted_of"]


def counted(count: int, singular: str, plural: str) -> str:
    """A count and what is counted, such as ``1 file`` or ``1,200 files``."""
    return f"{count:,} {singular if count == 1 else plural}"


def counted_of(count: int, total: int, singular: str, plural: str) -> str:
    """A count, its total and what is counted, such as ``1 of 20 images is transparent``."""
    return f"{count:,} of {total:,} {singular if count == 1 else plural}"
