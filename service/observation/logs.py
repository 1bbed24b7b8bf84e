"""Log format: text, or one JSON object per line with the ids of request and sweep."""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from workers.characters import escape_controls
from workers.moments import UtcFormatter

__all__ = ["JsonFormatter", "TextFormatter", "configure_logging", "current_request"]

current_request: ContextVar[str | None] = ContextVar("current_request", default=None)
"""Id of the current request; None outside requests."""

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_SWEEP = re.compile(r"\bsweep ([0-9a-f]{12})\b")
_VERBOSE_LOGGERS = ("httpx", "alembic")


class JsonFormatter(logging.Formatter):
    """Formats log records as one JSON object per line.

    Members: ``time``, ``level``, ``logger``, ``message``; if known ``request_id``, ``sweep_id`` and
    ``exception``; and the members of ``extra={"fields": ...}``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        message = record.getMessage()
        sweep = _SWEEP.search(message)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            "request_id": current_request.get(),
            "sweep_id": sweep[1] if sweep else None,
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        line |= getattr(record, "fields", {})
        return json.dumps(
            {name: value for name, value in line.items() if value is not None}, default=str
        )


class TextFormatter(UtcFormatter):
    """A line for people, with the control characters of what others wrote escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback below it."""
        return escape_controls(super().format(record))


def configure_logging(form: Literal["text", "json"]) -> None:
    """Write log lines to standard error, unless the root logger already has handlers."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
