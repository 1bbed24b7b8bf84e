"""`sasam submit` and the client send the Python files that a specification names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.cli.errors import ExitStatus
from service.client import Client
from workers.spec import SpecError, parse_spec

Run = Callable[..., Any]

SPECIFICATION = """
name: own
dataset: digits
model: cnn-tiny
optimizers: [{name: ./mine.py:Mine, label: mine}]
search: {learning_rate: [0.1], weight_decay: [0]}
"""
FILES = {"mine.py": "from .parts import Mine\n", "parts.py": "class Mine: pass\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a specification and its files, which is not the working directory."""
    (tmp_path / "sweep.yaml").write_text(SPECIFICATION)
    for name, source in FILES.items():
        (tmp_path / name).write_text(source)
    return tmp_path


def test_submit_sends_the_files_of_the_folder(run: Run, client: Client, folder: Path) -> None:
    path = str(folder / "sweep.yaml")
    assert run("submit", path, "--dry-run").exit_code == 0
    done = run("submit", path)
    assert done.exit_code == 0, done.output
    sweep = client.sweeps.get(done.stdout.strip())
    assert sweep.detail.specification["files"] == FILES


def test_submit_names_a_missing_file_in_one_line(run: Run, folder: Path) -> None:
    (folder / "parts.py").unlink()
    done = run("submit", str(folder / "sweep.yaml"))
    assert done.exit_code == ExitStatus.USAGE
    assert done.stderr.splitlines() == [
        "sasam: the specification is invalid",
        f"  files.mine.py: needs the file {folder}/parts.py: no such file or directory (got line "
        "1)",
    ]


def test_client_sends_the_files_of_path_or_working_directory(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "sweep.yaml"
    assert client.sweeps.submit(path).detail.specification["files"] == FILES
    with pytest.raises(SpecError, match=r"needs the file mine\.py: no such file"):
        client.sweeps.submit(SPECIFICATION)
    monkeypatch.chdir(folder)
    for specification in (SPECIFICATION, parse_spec(SPECIFICATION)):
        assert client.sweeps.submit(specification).detail.specification["files"] == FILES
        assert client.sweeps.estimate(specification).trials == 1
