"""Logs, events, repair; completion; and what a command says when it is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.cli.completion import FIGURES, figure_names, preset_names, sweep_ids
from service.cli.operation import added
from service.client import Sweep
from service.security.access import Role
from service.security.tokens import Tokens
from service.sensitivity.figures import FIGURES as KNOWN_FIGURES


@pytest.mark.parametrize(
    ("known", "text", "new"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\nb\n", "b\n"),
        ("a\nb\n", "a\nb\n", ""),
        ("a\nb\nc\n", "b\nc\nd\n", "b\nc\nd\n"),
        (
            "\n".join(map(str, range(50))) + "\n",
            "\n".join(map(str, range(9, 52))) + "\n",
            "50\n51\n",
        ),
    ],
)
def test_added_is_what_a_log_has_more(known: str, text: str, new: str) -> None:
    assert added(known, text) == new


def test_logs_follow_ends_with_the_sweep(run: Any, service: Any, sweep: Sweep) -> None:
    service.complete(sweep.sweep_id)
    assert run("logs", "--follow").exit_code == 0
    empty = run("logs")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (
        0,
        "",
        "sasam: there is no log (yet)\n",
    )
    refused = run("logs", "--follow", "--trial", "x")
    assert refused.stderr == "sasam: --follow goes with neither --trial nor --attempt\n"
    unknown = run("logs", "--trial", "0" * 16)
    assert unknown.exit_code == 1
    assert "has no trial" in unknown.stderr


def test_events_are_lines_for_people_and_for_programs(run: Any, service: Any, sweep: Sweep) -> None:
    service.complete(sweep.sweep_id)
    lines = run("events").stdout.splitlines()
    assert "state=completed" in lines[-1]
    events = [json.loads(line) for line in run("events", "-o", "json").stdout.splitlines()]
    assert len(events) == len(lines)
    assert events[-1]["data"]["state"] == "completed"
    behind = run("events", "latest", "--after", str(events[-2]["number"]))
    assert len(behind.stdout.splitlines()) == 1
    assert run("events", "-o", "csv").exit_code == 2


def test_repair_needs_one_thing_and_tells_that_mlflow_is_away(run: Any, sweep: Sweep) -> None:
    for words in ((), (sweep.sweep_id, "--all")):
        answer = run("repair", *words)
        assert answer.stderr == "sasam: name either a sweep or --all\n"
    for words in ((sweep.sweep_id,), ("--all",)):
        answer = run("repair", *words)
        assert (answer.exit_code, len(answer.stderr.splitlines())) == (1, 1), answer.output
        assert "mlflow" in answer.stderr.lower()


def test_completion_knows_sweeps_presets_and_figures(
    sweep: Sweep, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SASAM_URL", service.url)
    assert (sweep.sweep_id, "small, queued") in list(sweep_ids(sweep.sweep_id[:4]))
    assert next(sweep_ids("")) == ("latest", "the newest sweep")
    assert "digits" in preset_names("dig")
    assert figure_names("trace") == ["trace-heatmap"]
    assert sorted(FIGURES) == sorted(KNOWN_FIGURES)


def test_completion_without_a_service_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SASAM_URL", "http://127.0.0.1:1")
    assert list(sweep_ids("1")) == []
    monkeypatch.setenv("SASAM_PORT", "none")
    monkeypatch.delenv("SASAM_URL")
    assert list(sweep_ids("1")) == []
    assert capsys.readouterr() == ("", "")


def test_completion_in_a_shell_offers_the_sweep(start: Any, sweep: Sweep) -> None:
    line = f"sasam show {sweep.sweep_id[:5]}"
    process = start(_SASAM_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD="2", PYTHONPATH="")
    output, errors = process.communicate(timeout=60)
    assert output.split() == [sweep.sweep_id], errors


@pytest.fixture(scope="module")
def guarded(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service that asks for tokens; yields it and a token that may only read."""
    with start_service(tmp_path_factory.mktemp("guarded"), auth="required") as started:
        yield started, Tokens(started.database).create("reader", Role.READ)


def test_token_missing_wrong_or_too_low_is_told_in_a_line_with_the_remedy(
    run: Any, guarded: Any, monkeypatch: pytest.MonkeyPatch, specification: str, tmp_path: Path
) -> None:
    started, token = guarded
    monkeypatch.setenv("SASAM_URL", started.url)
    monkeypatch.delenv("SASAM_TOKEN", raising=False)
    told = []
    for shown in (None, "wrong"):
        if shown:
            monkeypatch.setenv("SASAM_TOKEN", shown)
        answer = run("list")
        assert answer.exit_code == 1
        told += answer.stderr.splitlines()
    assert len(told) == 2
    assert all("SASAM_TOKEN" in line and "sasam token create NAME" in line for line in told)
    assert "not valid" in told[1]

    monkeypatch.delenv("SASAM_TOKEN")
    file = tmp_path / "token"
    file.write_text(token)
    monkeypatch.setenv("SASAM_TOKEN_FILE", str(file))
    assert run("list").exit_code == 0
    (line,) = run("submit", "-", input=specification).stderr.splitlines()
    assert "has the role read; this needs submit" in line
    assert "--role ROLE" in line


def test_submit_enormous_specification_is_told_in_a_line(run: Any, specification: str) -> None:
    answer = run("submit", "-", input=specification + "# " + "x" * 2_000_000)
    assert answer.exit_code == 1
    (line,) = answer.stderr.splitlines()
    assert "larger than 65536 bytes" in line
    assert "SASAM_MAX_BODY_BYTES" in line
