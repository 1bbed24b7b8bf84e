"""Commands that write figures and reports, and compare sweeps."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, Sweep
from workers.spec import load_spec


@pytest.fixture
def completed(service: Any, sweep: Sweep) -> Sweep:
    service.complete(sweep.sweep_id)
    return sweep


def test_plot_all_writes_what_there_is_and_says_what_there_is_not(
    run: Any, completed: Sweep, tmp_path: Path
) -> None:
    answer = run("plot", completed.sweep_id, "--all", "--folder", str(tmp_path / "figures"))
    assert answer.exit_code == 0
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"best.svg", "best.png", "best.csv", "accuracy-heatmap.svg"} <= written
    assert not any(name.startswith("trace-heatmap") for name in written)
    assert "trace-heatmap: No hessian_trace was measured." in answer.stderr
    assert set(answer.stdout.split()) == {str(tmp_path / "figures" / name) for name in written}


def test_report_is_written_where_asked(run: Any, completed: Sweep, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert run("report", completed.sweep_id, "--file", str(file)).exit_code == 0
    assert file.read_text().startswith("<!doctype html>")


def test_summary_takes_its_options(run: Any, completed: Sweep) -> None:
    words = ("summary", completed.sweep_id, "-o", "json", "--optimizer", "msgd", "--epsilon", "0.2")
    found = json.loads(run(*words).stdout)
    assert [optimizer["optimizer"] for optimizer in found["optimizers"]] == ["msgd"]
    assert found["epsilon"] == 0.2
    refused = run("summary", completed.sweep_id, "--budget", "much")
    assert refused.exit_code == 2
    assert "'much' is not a number" in refused.stderr


def test_compare_puts_sweeps_side_by_side(
    run: Any, service: Any, client: Client, specification: str, completed: Sweep, tmp_path: Path
) -> None:
    longer = specification.replace("epochs: 2", "epochs: 3")
    other = client.sweeps.submit(longer)
    ids = (completed.sweep_id, other.sweep_id)
    refused = run("compare", *ids)
    assert refused.exit_code == 1
    assert "has completed or diverged yet" in refused.stderr

    service.end_trials(other.sweep_id, load_spec(longer))
    shown = run("compare", *ids).stdout
    assert "SA-SAM" in shown
    assert "training.epochs: 2, 3" in shown
    rows = list(csv.DictReader(io.StringIO(run("compare", *ids, "-o", "csv").stdout)))
    assert [row["sweep_id"] for row in rows] == [ids[0], ids[0], ids[1], ids[1]]
    file = tmp_path / "side.svg"
    assert run("compare", *ids, "--file", str(file)).exit_code == 0
    assert file.read_text().startswith("<svg")
