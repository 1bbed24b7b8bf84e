"""Progress in a log and on a terminal."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from service.cli.progress import follow
from service.client import Sweep
from service.states import SweepState
from workers.spec import load_spec

RUNNING = (SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING)


class SteppingConsole(Console):
    """A console that takes the next step of the sweep whenever a line is printed."""

    def __init__(self, *steps: Any, **options: Any) -> None:
        super().__init__(**options)
        self._steps = iter(steps)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        next(self._steps, lambda: None)()


def test_log_has_one_line_per_change_and_a_complete_last_line(
    service: Any, sweep: Sweep, specification: str
) -> None:
    def finish() -> None:
        service.end_trials(sweep.sweep_id, load_spec(specification), msgd="diverged")
        service.move(sweep.sweep_id, SweepState.RUNNING, SweepState.COMPLETED)

    on = SteppingConsole(
        lambda: service.move(sweep.sweep_id, *RUNNING), finish, file=io.StringIO(), width=40
    )
    detail = follow(sweep, on, poll_seconds=0.01)
    assert detail.state is SweepState.COMPLETED
    lines = on.file.getvalue().splitlines()  # type: ignore[attr-defined]
    states = [line.split(": ")[0].split()[-1] for line in lines]
    assert states == ["queued", "running", "completed"]
    assert lines[0].endswith("queued: 0/8 trials (0 %), 0 running, 0 diverged")
    assert "8/8 trials (100 %), 0 running, 4 diverged, " in lines[-1]
    assert lines[-1].endswith("trials/min")


def test_terminal_shows_bar_and_optimizers(service: Any, sweep: Sweep) -> None:
    service.complete(sweep.sweep_id, msgd="diverged")
    on = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    follow(sweep, on)
    text = on.file.getvalue()  # type: ignore[attr-defined]
    assert "8/8 trials 100 %" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["sa-sam", "4/4", "0", "0", "0", "80.0"] in rows
    assert ["msgd", "4/4", "0", "4", "0"] in rows


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_terminal_of_any_width_shows_what_matters(service: Any, sweep: Sweep, columns: int) -> None:
    service.complete(sweep.sweep_id, msgd="diverged")
    on = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    follow(sweep, on)
    lines = on.file.getvalue().splitlines()  # type: ignore[attr-defined]
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]
    assert max(map(len, plain)) <= columns
    assert any(line.endswith("8/8 trials 100 %") for line in map(str.rstrip, plain))
    *_, row = (line.split() for line in plain if line.startswith("sa-sam"))
    assert (row[1], row[-1]) == ("4/4", "80.0")


def test_paused_names_the_command_that_resumes(sweep: Sweep) -> None:
    sweep.pause()
    on = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    detail = follow(sweep, on, exit_on_pause=True)
    assert detail.state is SweepState.PAUSED
    assert f"`sasam resume {sweep.sweep_id}` continues it" in on.file.getvalue()  # type: ignore[attr-defined]


def test_no_color_is_kept_to(start: Any, service: Any, sweep: Sweep) -> None:
    service.complete(sweep.sweep_id)
    process = start("watch", sweep.sweep_id, NO_COLOR="1", FORCE_COLOR="1", TERM="xterm-256color")
    output, _ = process.communicate(timeout=60)
    assert "8/8 trials 100 %" in output
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", output)
