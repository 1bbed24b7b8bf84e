"""The command ``init``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.cli.completion import preset_names
from workers.spec import load_spec


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_a_commented_valid_specification(run: Any, folder: Path, service: Any) -> None:
    answer = run("init")
    assert (answer.exit_code, answer.stdout) == (0, "sweep.yaml\n")
    text = (folder / "sweep.yaml").read_text()
    assert load_spec(text).trial_count == 24
    head, second, *_ = text.splitlines()
    assert second.startswith("# ")
    schema = head.removeprefix("# yaml-language-server: $schema=")
    document = httpx.get(schema).json()
    assert document["$id"] == schema
    assert document["$schema"].startswith("https://json-schema.org/")
    assert {"optimizers", "search", "training"} <= set(document["properties"])


@pytest.mark.parametrize("preset", ["digits", "paper-vgg19"])
def test_init_starts_from_a_preset(run: Any, folder: Path, preset: str) -> None:
    assert run("init", "mine.yaml", "--preset", preset).exit_code == 0
    assert load_spec((folder / "mine.yaml").read_text()).name == preset


def test_init_never_overwrites(run: Any, folder: Path) -> None:
    (folder / "sweep.yaml").write_text("mine")
    answer = run("init")
    assert (answer.exit_code, answer.stderr) == (
        2,
        "sasam: sweep.yaml exists; name another file\n",
    )
    assert (folder / "sweep.yaml").read_text() == "mine"


def test_init_unknown_preset_lists_all_presets(run: Any, folder: Path) -> None:
    answer = run("init", "--preset", "nothing")
    assert answer.exit_code == 2
    assert f"unknown preset 'nothing' (known: {', '.join(preset_names(''))})" in answer.stderr
    assert not list(folder.iterdir())
