"""Commands on results of a completed sweep."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from service.client import Sweep


@pytest.fixture
def completed(service: Any, sweep: Sweep) -> Sweep:
    service.complete(sweep.sweep_id, sa_sam="diverged")
    return sweep


@pytest.mark.parametrize("columns", [80, 200])
def test_summary_table_fits_the_terminal_and_loses_no_number(
    run: Any, completed: Sweep, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    answer = run("summary", completed.sweep_id)
    assert answer.exit_code == 0
    assert max(map(len, answer.stdout.splitlines())) <= columns
    assert "Tiny CNN on Digits" in answer.stdout
    assert "4/4" in answer.stdout.split()
    assert "…" not in answer.stdout


def test_summary_for_programs(run: Any, completed: Sweep) -> None:
    words = ("summary", completed.sweep_id, "-o")
    assert json.loads(run(*words, "json").stdout)["diverged_trials"] == 4
    rows = list(csv.DictReader(io.StringIO(run(*words, "csv").stdout)))
    assert [row["optimizer"] for row in rows] == ["sa-sam", "msgd"]
    assert r"\toprule" in run(*words, "latex").stdout
    assert "diverged_trials: 4" in run(*words, "yaml").stdout


def test_summary_too_early_says_so(run: Any, sweep: Sweep) -> None:
    answer = run("summary", sweep.sweep_id)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("sasam: ")
    assert len(answer.stderr.splitlines()) == 1


def test_plot_terminal_shows_every_cell(run: Any, completed: Sweep) -> None:
    lines = run("plot", completed.sweep_id).stdout.splitlines()
    assert lines[0] == "OOD accuracy, Tiny CNN on Digits"
    assert max(map(len, lines)) <= 80
    heads = [line.split() for line in lines]
    assert ["SA-SAM", "MSGD"] in heads
    assert ["0.0001", "div", "div", "0.0001", "55.0", "75.0"] in heads
    assert ["0", "div", "div", "0", "45.0", "65.0"] in heads


def test_plot_colours_only_where_wanted(
    run: Any, completed: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = run("plot", completed.sweep_id, color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    plain = run("plot", completed.sweep_id, color=True).stdout
    assert "[48;5;" in coloured or ";48;5;" in coloured
    assert "48;5;" not in plain
    assert "75.0" in plain


@pytest.mark.parametrize(
    ("suffix", "beginning"),
    [(".svg", b"<svg"), (".png", b"\x89PNG"), (".json", b"{"), (".vl", b"{"), (".csv", b"panel")],
)
def test_plot_file_has_the_format_of_its_suffix(
    run: Any, completed: Sweep, tmp_path: Path, suffix: str, beginning: bytes
) -> None:
    file = tmp_path / f"figure{suffix}"
    answer = run("plot", completed.sweep_id, "accuracy-heatmap", "--file", str(file))
    assert answer.exit_code == 0, answer.output
    assert file.read_bytes().startswith(beginning)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("lr-curves",), 2, "lr-curves needs a --file"),
        (("heatmap", "-f", "figure.bmp"), 2, "figure.bmp: unknown format"),
        (("nothing", "-f", "figure.svg"), 2, "There is no figure 'nothing'"),
        (("best", "-f", "/proc/nothing/figure.svg"), 1, "/proc/nothing/figure.svg: no such"),
        (("heatmap", "--metric", "speed"), 2, "There is no metric 'speed'"),
        (("heatmap",), 2, "Possible: ood_accuracy, val_accuracy"),
        (("trace-heatmap",), 1, "No hessian_trace was measured"),
    ],
)
def test_plot_impossible_says_what_is_possible(
    run: Any, completed: Sweep, words: tuple[str, ...], status: int, message: str
) -> None:
    answer = run("plot", completed.sweep_id, *words)
    assert (answer.exit_code, message in answer.stderr) == (status, True), answer.stderr


def test_trials_filtered_and_as_csv(run: Any, completed: Sweep) -> None:
    found = json.loads(run("trials", "--status", "diverged", "-o", "json").stdout)
    assert [trial["optimizer"] for trial in found] == ["sa-sam"] * 4
    rows = list(csv.DictReader(io.StringIO(run("trials", "latest", "-o", "csv").stdout)))
    assert len(rows) == 8
    assert rows[1]["metrics.val_accuracy"] == "0.55"
    assert run("trials").stdout.splitlines()[2].split()[-2:] == ["55.0", "45.0"]


def test_catalog_and_presets(run: Any) -> None:
    assert "shifted patch tokenisation" in " ".join(run("catalog").stdout.split())
    assert "sa-sam" in run("catalog", "-o", "csv").stdout
    assert "digits" in run("presets").stdout
    text = run("presets", "digits").stdout
    assert run("submit", "-", "--dry-run", input=text).stdout.split()[:2] == ["trials", "80"]
    unknown = run("presets", "nothing")
    assert unknown.exit_code == 1
    assert "there are digits" in unknown.stderr
