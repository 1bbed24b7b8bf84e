"""The README's examples run as printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from workers.spec import load_spec

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
def test_library_example_runs_as_printed(tmp_path: Path) -> None:
    (example,) = (block for block in blocks("python") if "SASAM" in block)
    answer = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "standard_error" in answer.stdout


def test_specifications_are_valid() -> None:
    grid, search, axes = blocks("yaml")
    assert load_spec(grid).trial_count == 3 * 4 * 2
    sought = load_spec(re.sub("search: .*\n", search, grid))
    assert sought.trial_count == 3 * 30 * 2
    assert sought.early_stopping is not None
    varied = load_spec(re.sub("(optimizers|search): .*\n", "", grid) + axes)
    grids = {label: varied.configuration_count(label) for label in varied.labels}
    assert grids == {"msgd": 3 * 2 * 2, "sam": 3 * 2 * 2 * 3, "adam": 3 * 2 * 2}
