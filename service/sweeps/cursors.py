"""Cursors of the list of sweeps: creation time and id of the last sweep of a page."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from service.problems import InvalidProblem
from service.storage import SweepRow

__all__ = ["parse_cursor", "write_cursor"]


def write_cursor(row: SweepRow) -> str:
    """The cursor of the page after ``row``."""
    text = f"{row.created_at.isoformat()} {row.sweep_id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def parse_cursor(cursor: str) -> tuple[datetime, str]:
    """Creation time and id of the last sweep of the previous page.

    Raises:
        InvalidProblem: This service did not write the cursor.
    """
    try:
        moment, sweep_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        int(sweep_id, base=16)  # raises ValueError if it cannot be an id
        return datetime.fromisoformat(moment).astimezone(UTC), sweep_id
    except (ValueError, OverflowError):
        detail = f"cursor {cursor[:40]!r} was not issued by this service; start without one"
        raise InvalidProblem(detail, code="invalid-cursor") from None
