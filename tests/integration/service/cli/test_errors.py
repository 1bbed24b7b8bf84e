"""Error reports: one line with a remedy, and the exit status."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service.cli.application import app
from service.cli.errors import CliError, ExitStatus, report_errors
from service.client.errors import FieldProblem, ProblemError
from service.security.access import Role
from service.security.tokens import Tokens


def test_unreachable_service_names_address_and_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SASAM_HOME", str(tmp_path))
    monkeypatch.delenv("SASAM_URL", raising=False)
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        (tmp_path / "ports.json").write_text(json.dumps({"service": port}))
        answer = CliRunner().invoke(app, ["list"])
    assert answer.exit_code == 1
    assert answer.stderr == (
        f"sasam: no service answers at http://127.0.0.1:{port} (connection refused); "
        "start one with `sasam up`, or name its address with --url or SASAM_URL\n"
    )


def test_invalid_setting_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SASAM_PORT", "eighty")
    monkeypatch.delenv("SASAM_URL", raising=False)
    answer = CliRunner().invoke(app, ["list"])
    assert answer.exit_code == 2
    assert "SASAM_PORT: " in answer.stderr
    assert "(got 'eighty')" in answer.stderr


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (CliError("no", ExitStatus.USAGE), 2, "sasam: no"),
        (PermissionError(13, "Permission denied", "/x"), 1, "sasam: /x: permission denied"),
        (KeyboardInterrupt(), 130, ""),
        (
            ProblemError(422, "invalid-request", "", (FieldProblem("query.limit", "no", "0"),)),
            2,
            "sasam: the request is invalid\n  query.limit: no (got 0)\n",
        ),
        (
            ProblemError(409, "wrong-state", "", extra={"state": "failed", "allowed": []}),
            1,
            "sasam: the state of the sweep is failed; possible commands: none\n",
        ),
        (KeyError("x"), 1, "sasam: KeyError: 'x' (set SASAM_DEBUG=1 for the details of this"),
    ],
)
def test_report_errors_prints_one_line_and_sets_the_status(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    with pytest.raises(typer.Exit) as caught, report_errors():
        raise error
    assert caught.value.exit_code == status
    assert capsys.readouterr().err.startswith(line)


def test_report_errors_debug_shows_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SASAM_DEBUG", "1")
    with pytest.raises(KeyError), report_errors():
        raise KeyError("x")


@pytest.fixture(scope="module")
def guarded(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service that requires tokens; yields it and a token with the role read."""
    with start_service(tmp_path_factory.mktemp("guarded"), auth="required") as started:
        yield started, Tokens(started.database).create("reader", Role.READ)


def test_token_missing_invalid_or_too_low_is_one_line_with_the_remedy(
    run: Any, guarded: Any, monkeypatch: pytest.MonkeyPatch, specification: str, tmp_path: Path
) -> None:
    started, token = guarded
    monkeypatch.setenv("SASAM_URL", started.url)
    monkeypatch.delenv("SASAM_TOKEN", raising=False)
    lines = []
    for shown in (None, "wrong"):
        if shown:
            monkeypatch.setenv("SASAM_TOKEN", shown)
        answer = run("list")
        assert answer.exit_code == 1
        lines += answer.stderr.splitlines()
    assert len(lines) == 2
    assert all("SASAM_TOKEN" in line and "sasam token create NAME" in line for line in lines)
    assert "invalid, revoked or expired" in lines[1]

    monkeypatch.delenv("SASAM_TOKEN")
    file = tmp_path / "token"
    file.write_text(token)
    monkeypatch.setenv("SASAM_TOKEN_FILE", str(file))
    assert run("list").exit_code == 0
    (line,) = run("submit", "-", input=specification).stderr.splitlines()
    assert "has the role read; this needs submit" in line
    assert "--role ROLE" in line


def test_submit_enormous_specification_is_refused_in_one_line(run: Any, specification: str) -> None:
    answer = run("submit", "-", input=specification + "# " + "x" * 2_000_000)
    assert answer.exit_code == 1
    (line,) = answer.stderr.splitlines()
    assert "at most 65536 are allowed" in line
    assert "SASAM_MAX_BODY_BYTES" in line
