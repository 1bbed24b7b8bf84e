"""The commonest faults, one after another, as `make chaos` has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = ("service", "driver", "Ray head")


@pytest.mark.timeout(900)
def test_sweeps_lose_nothing_when_what_they_depend_on_is_killed(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).parent), "--seed", "1", "--epochs", "3"),
            *("--rounds", str(len(FAULTS)), "--faults", *FAULTS, "--json", str(report)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    rounds = json.loads(report.read_text())
    assert {fault for each in rounds for fault in each["faults"]} == set(FAULTS)
    assert not any(any(each["verdict"].values()) for each in rounds)
