"""Log lines as JSON."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from service.observation.logs import JsonFormatter, current_request


def line(message: str, *arguments: object, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("service.x", logging.WARNING, "", 1, message, arguments, None)
    record.__dict__ |= extra
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def test_line_has_time_level_logger_and_message() -> None:
    told = line("lost %d of\n%s", 3, "things")
    assert told.pop("time").endswith("+00:00")
    assert told == {"level": "warning", "logger": "service.x", "message": "lost 3 of\nthings"}


@pytest.mark.parametrize(
    ("message", "sweep_id"),
    [
        ("sweep 0123456789ab: queued -> starting", "0123456789ab"),
        ("the figures of sweep 0123456789ab are not in MLflow", "0123456789ab"),
        ("sweep 0123456789abc", None),
        ("sweeps 0123456789ab", None),
    ],
)
def test_sweep_that_a_line_speaks_of_is_a_member(message: str, sweep_id: str | None) -> None:
    assert line(message).get("sweep_id") == sweep_id


def test_request_that_is_being_answered_and_given_fields_are_members() -> None:
    token = current_request.set("abc")
    try:
        told = line("x", fields={"status": 200, "actor": None})
    finally:
        current_request.reset(token)
    assert (told["request_id"], told["status"]) == ("abc", 200)
    assert "actor" not in told


def test_exception_is_a_member() -> None:
    try:
        int("wrong")
    except ValueError:
        told = line("failed", exc_info=sys.exc_info())
    assert told["exception"].startswith("Traceback")
    assert "invalid literal" in told["exception"]
