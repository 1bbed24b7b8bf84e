"""Commands on optimizers, which need no service."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SASAM = [sys.executable, "-c", "from service.cli import main; main()"]


def test_optimizers_list_has_cost_decay_and_defaults(run: Any) -> None:
    rows = json.loads(run("optimizers", "list", "--output", "json").stdout)
    (adamw,) = (row for row in rows if row["name"] == "adamw")
    assert adamw["weight_decay"] == "decoupled"
    assert adamw["default_weight_decay"] == 0.01
    table = run("optimizers", "list").stdout
    assert "schedule-free-adamw" in table
    assert "torch:<name>" in table


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (
            ["torch:RMSprop"],
            0,
            "torch:RMSprop: 1 gradient evaluation per step, coupled weight decay, resumes bit for "
            "bit, default learning rate 0.01, default weight decay 0\n",
        ),
        (["torch:Muon"], 1, "torch:Muon: refused: torch:Muon cannot be built: Muon only supports"),
        (["torch:AdmW"], 2, "did you mean AdamW"),
        (["asam", "--options", '{"base": "timm:lion"}'], 0, "decoupled weight decay"),
    ],
)
def test_optimizers_check_prints_one_line(arguments: list[str], status: int, expected: str) -> None:
    done = subprocess.run(
        [*SASAM, "optimizers", "check", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert expected in (done.stderr if status else done.stdout)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", ["[1]", "{", "3"])
def test_optimizers_check_refuses_options_that_are_no_mapping(run: Any, options: str) -> None:
    answer = run("optimizers", "check", "adam", "--options", options)
    assert answer.exit_code == 2
    assert "--options must be a JSON object" in answer.stderr
