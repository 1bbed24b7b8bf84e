"""Wording of counts and commands."""

from __future__ import annotations

import pytest

from service.cli.wording import command_name, count_of, duration, progress_words
from service.states import Command
from service.sweeps.schemas import Progress


@pytest.mark.parametrize(("count", "text"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials")])
def test_count_of_has_the_number_of_its_noun(count: int, text: str) -> None:
    assert count_of(count, "trial") == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00")]
)
def test_duration_has_hours_only_if_there_are_any(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_has_the_number_of_reused_trials() -> None:
    progress = Progress(total=80, completed=40, reused=12)
    assert progress_words(progress) == "0 running, 0 diverged, 12 of 80 trials reused"
    assert "reused" not in progress_words(Progress(total=80))


def test_command_name_is_a_command_of_the_program() -> None:
    from service.cli.application import app

    registered = {(command.name or "").strip("_") for command in app.registered_commands}
    assert {command_name(command) for command in Command} <= registered
