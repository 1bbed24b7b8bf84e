"""docs/bring-your-own.md works as printed: its files and commands, with a real `sasam up`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from service.client import Client
from tests.e2e.test_sweep import address_of, running
from workers.spec import read_stored

PAGE = (Path(__file__).parents[2] / "docs" / "bring-your-own.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.mark.timeout(900)
def test_page_works_as_printed(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    commands = []
    for language, text in BLOCK.findall(PAGE):
        if language == "sh":
            commands += text.splitlines()
        else:
            (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
    assert len(commands) == 6
    home = tmp_path / "home"
    with running(home, tmp_path):
        url = address_of(home)
        printed = [_run(command, folder, url) for command in commands]
        with Client(url) as client:
            sweeps = {
                sweep.name: client.sweeps.get(sweep.sweep_id) for sweep in client.sweeps.browse()
            }
            files = {n: read_stored(s.detail.specification).files for n, s in sweeps.items()}
            statuses = {
                name: [trial.status for trial in sweep.trials()] for name, sweep in sweeps.items()
            }
    assert statuses == {"my-optimizer": ["completed"] * 6, "all-mine": ["completed"] * 8}
    assert files["my-optimizer"].keys() == {"sign_momentum.py"}
    assert files["all-mine"].keys() == {
        "blocks.py",
        "layerwise.py",
        "my_data.py",
        "my_model.py",
        "sign_momentum.py",
    }
    for plot, labels in ((printed[2], ("mine", "Adam")), (printed[5], ("mine", "slow head"))):
        assert all(label in plot for label in labels)


def _run(command: str, folder: Path, url: str) -> str:
    """Run a command line as a user would; returns what it prints."""
    words = shlex.split(command)
    assert words[0] == "sasam"
    done = subprocess.run(
        [Path(sys.executable).with_name("sasam"), *words[1:]],
        cwd=folder,
        env=os.environ | {"SASAM_URL": url, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
