"""Commands that draw figures of a completed sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.client import Sweep


def test_plot_terminal_shows_every_cell(run: Any, completed: Sweep) -> None:
    lines = run("plot", completed.sweep_id).stdout.splitlines()
    assert lines[0] == "OOD accuracy, Tiny CNN on Digits"
    assert max(map(len, lines)) <= 80
    heads = [line.split() for line in lines]
    assert ["SA-SAM", "MSGD"] in heads
    assert ["1e-4", "div", "div", "1e-4", "55.0", "75.0"] in heads
    assert ["0", "div", "div", "0", "45.0", "65.0"] in heads


def test_plot_colours_only_if_allowed(
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
def test_plot_impossible_names_the_possible_values(
    run: Any, completed: Sweep, words: tuple[str, ...], status: int, message: str
) -> None:
    answer = run("plot", completed.sweep_id, *words)
    assert (answer.exit_code, message in answer.stderr) == (status, True), answer.stderr


def test_plot_all_writes_possible_figures_and_reports_the_others(
    run: Any, completed: Sweep, tmp_path: Path
) -> None:
    answer = run("plot", completed.sweep_id, "--all", "--folder", str(tmp_path / "figures"))
    assert answer.exit_code == 0
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"best.svg", "best.png", "best.csv", "accuracy-heatmap.svg"} <= written
    assert not any(name.startswith("trace-heatmap") for name in written)
    assert "trace-heatmap: No hessian_trace was measured." in answer.stderr
    assert set(answer.stdout.split()) == {str(tmp_path / "figures" / name) for name in written}


def test_report_is_written_to_the_given_file(run: Any, completed: Sweep, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert run("report", completed.sweep_id, "--file", str(file)).exit_code == 0
    assert file.read_text().startswith("<!doctype html>")
