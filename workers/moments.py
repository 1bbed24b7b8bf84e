"""Times as text and in log lines, in UTC."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

__all__ = ["UtcFormatter", "clock_text", "moment_text"]


def moment_text(moment: datetime) -> str:
    """An aware time to the second, such as ``2026-01-31 12:00:00 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock_text(moment: datetime) -> str:
    """The time of day of an aware time, such as ``12:00:00Z``."""
    return f"{moment.astimezone(UTC):%H:%M:%S}Z"


class UtcFormatter(logging.Formatter):
    """Log lines with times in ISO 8601, such as ``2026-01-31T12:00:00.000Z``."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
