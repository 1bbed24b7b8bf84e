"""Logs and events of a sweep."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.cli.logs import added_text
from service.client import Sweep


@pytest.mark.parametrize(
    ("known", "text", "new"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\nb\n", "b\n"),
        ("a\nb\n", "a\nb\n", ""),
        ("a\nb\nc\n", "b\nc\nd\n", "b\nc\nd\n"),
        (
            "\n".join(map(str, range(50))) + "\n",
            "\n".join(map(str, range(9, 52))) + "\n",
            "50\n51\n",
        ),
    ],
)
def test_added_text_is_what_was_appended(known: str, text: str, new: str) -> None:
    assert added_text(known, text) == new


def test_logs_follow_ends_with_the_sweep(run: Any, service: Any, sweep: Sweep) -> None:
    service.complete(sweep.sweep_id)
    assert run("logs", "--follow").exit_code == 0
    empty = run("logs")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (
        0,
        "",
        "sasam: there is no log (yet)\n",
    )
    refused = run("logs", "--follow", "--trial", "x")
    assert refused.stderr == "sasam: --follow cannot be combined with --trial or --attempt\n"
    unknown = run("logs", "--trial", "0" * 16)
    assert unknown.exit_code == 1
    assert "has no trial" in unknown.stderr


def test_events_are_lines_for_people_and_for_programs(run: Any, service: Any, sweep: Sweep) -> None:
    service.complete(sweep.sweep_id)
    lines = run("events").stdout.splitlines()
    assert "state=completed" in lines[-1]
    events = [json.loads(line) for line in run("events", "-o", "json").stdout.splitlines()]
    assert len(events) == len(lines)
    assert events[-1]["data"]["state"] == "completed"
    behind = run("events", "latest", "--after", str(events[-2]["number"]))
    assert len(behind.stdout.splitlines()) == 1
    assert run("events", "-o", "csv").exit_code == 2
