"""Progress in a log and on a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from service.cli.progress import follow
from service.client import Sweep
from service.sweeps.states import SweepState
from workers.spec import load_spec

RUNNING = (SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING)


class PlayedConsole(Console):
    """A console that plays the sweep on when it is written to."""

    def __init__(self, *steps: Any, **options: Any) -> None:
        super().__init__(**options)
        self._played = iter(steps)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        next(self._played, lambda: None)()


def test_log_has_a_line_a_change_and_a_complete_last_one(
    service: Any, sweep: Sweep, specification: str
) -> None:
    def finish() -> None:
        service.end_trials(sweep.sweep_id, load_spec(specification), msgd="diverged")
        service.move(sweep.sweep_id, SweepState.RUNNING, SweepState.COMPLETED)

    on = PlayedConsole(
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
