"""The program: start-up imports, help, and the commands on settings and data sets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from service.cli import connection
from service.cli.application import app
from service.states import SweepState

DATABASE = ("sqlalchemy", "alembic", "mlflow", "fastapi", "starlette", "pydantic_settings")
SCIENCE = ("torch", "ray", "numpy", "scipy", "pandas", "altair", "vl_convert", "optuna")
NETWORK = ("pydantic", "httpx", "rich", "yaml")


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("import service.cli", (*DATABASE, *SCIENCE, *NETWORK)),
        ("import service.client", (*DATABASE, *SCIENCE, "workers.spec")),
        ("main(['list'])", (*DATABASE, *SCIENCE, "workers.spec", "yaml")),
        ("main(['watch'])", (*DATABASE, *SCIENCE, "workers.spec", "yaml")),
        ("main(['submit', '--preset', 'digits'])", (*DATABASE, *SCIENCE, "workers.spec", "yaml")),
    ],
)
def test_start_imports_nothing_heavy(
    service: Any, sweep: Any, program: str, unwanted: tuple[str, ...]
) -> None:
    sweep.cancel()
    service.move(sweep.sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)  # `watch` ends
    lines = (
        "import sys",
        "def main(words):",
        "    from service.cli.application import app",
        "    try: app(words)",
        "    except SystemExit: pass",
        program,
        f"print([name for name in {unwanted!r} if name in sys.modules])",
    )
    answer = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={**os.environ, "SASAM_URL": service.url},
        capture_output=True,
        text=True,
    )
    assert answer.stderr == ""
    assert answer.stdout.splitlines()[-1] == "[]"


def test_every_command_has_help_with_examples() -> None:
    commands = [(command.name or "",) for command in app.registered_commands]
    commands += [
        (group.name or "", command.name or "")
        for group in app.registered_groups
        for command in (group.typer_instance or typer.Typer()).registered_commands
    ]
    assert len(commands) >= 31
    for words in commands:
        answer = CliRunner().invoke(app, [*words, "--help"], prog_name="sasam")
        assert answer.exit_code == 0
        assert "Examples:" in answer.output, words
        assert f"sasam {' '.join(words)}" in answer.output


@pytest.mark.parametrize("words", [["nothing"], ["list", "--limit", "0"], ["list", "-o", "xml"]])
def test_usage_errors_end_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


@pytest.mark.parametrize(
    ("variables", "remembered", "address"),
    [
        ({}, None, "http://127.0.0.1:8420"),
        ({}, '{"service": 9001}', "http://127.0.0.1:9001"),
        ({}, "[]", "http://127.0.0.1:8420"),
        ({"SASAM_PORT": "9002"}, '{"service": 9001}', "http://127.0.0.1:9002"),
        ({"SASAM_HOST": "::"}, '{"service": 9001}', "http://127.0.0.1:9001"),
    ],
)
def test_address_is_what_was_set_or_what_ran_here(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    remembered: str | None,
    address: str,
) -> None:
    monkeypatch.setenv("SASAM_HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if remembered is not None:
        (tmp_path / "ports.json").write_text(remembered)
    assert connection.service_address() == address


@pytest.mark.parametrize("command", ["up", "demo"])
def test_port_in_use_and_unwritable_home_are_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("SASAM_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = CliRunner().invoke(app, [command, "--port", str(port)])
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"sasam: Port {port}")
    assert len(answer.stderr.splitlines()) == 1
    monkeypatch.setenv("SASAM_HOME", "/proc/nothing")
    answer = CliRunner().invoke(app, [command])
    assert answer.exit_code == 1
    assert answer.stderr.startswith("sasam: SASAM_HOME /proc/nothing cannot be written")


def test_data_corrupt_and_fetch(tmp_path: Path) -> None:
    words = ["data", "corrupt", "digits", "--corruption", "brightness", "--data-dir", str(tmp_path)]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout == f"{tmp_path / 'digits-c'}\n"
    assert (tmp_path / "digits-c" / "brightness.npy").exists()
    unknown = CliRunner().invoke(app, ["data", "fetch", "mnist", "--data-dir", str(tmp_path)])
    assert unknown.exit_code == 1
    assert "'mnist' cannot be fetched; fetch one of: cifar10" in unknown.stderr
    wrong = CliRunner().invoke(app, ["data", "corrupt", "digits", "--option", "path"])
    assert (wrong.exit_code, wrong.stderr) == (2, "sasam: --option 'path' is not KEY=VALUE\n")


def test_data_check_prints_what_is_left_out_and_what_is_wrong(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            image = Image.fromarray(generator.integers(0, 256, (9, 9), np.uint8))
            image.save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "photos" / "cat" / "labels.csv").write_text("0")
    words = ["data", "check", "image-folder", "--option", "path=photos", "--option", "image_size=8"]
    answer = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines() == [
        "8 training and 2 test images of 8 x 8 pixels, 3 channels, 2 classes",
        "left out: 1 file that is no image (1 .csv)",
    ]
    (tmp_path / "photos" / "dog" / "x.png").symlink_to("nowhere")
    refused = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path)])
    assert (refused.exit_code, refused.stderr) == (
        1,
        "sasam: dataset.kwargs.path: photos/dog/x.png is a link that leads nowhere; "
        "mend or remove it\n",
    )
