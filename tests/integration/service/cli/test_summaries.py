"""Summaries and comparisons of completed sweeps."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, Sweep
from workers.spec import load_spec


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


@pytest.mark.parametrize("columns", [80, 200])
def test_summary_shows_published_measures(
    run: Any, completed: Sweep, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    answer = run("summary", completed.sweep_id, "--published")
    assert answer.exit_code == 0
    assert max(map(len, answer.stdout.splitlines())) <= columns
    assert "As published" in answer.stdout
    assert "Wortsman et" in answer.stdout
    assert "local optimum" in answer.stdout


def test_summary_prints_the_cells_to_run_next(run: Any, completed: Sweep) -> None:
    answer = run("summary", completed.sweep_id, "--next")
    assert answer.exit_code == 0
    assert " next " in load_spec(answer.stdout).labels[0]


def test_summary_too_early_says_so(run: Any, sweep: Sweep) -> None:
    answer = run("summary", sweep.sweep_id)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("sasam: ")
    assert len(answer.stderr.splitlines()) == 1


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
    refused = run("compare", *ids, "--published")
    assert refused.exit_code == 1
    assert "at least two workloads" in refused.stderr
    rows = list(csv.DictReader(io.StringIO(run("compare", *ids, "-o", "csv").stdout)))
    assert [row["sweep_id"] for row in rows] == [ids[0], ids[0], ids[1], ids[1]]
    file = tmp_path / "side.svg"
    assert run("compare", *ids, "--file", str(file)).exit_code == 0
    assert file.read_text().startswith("<svg")


def test_best_prints_a_specification_of_one_trial_and_code(run: Any, completed: Sweep) -> None:
    best = completed.summary().optimizers
    (msgd,) = [found.best_config for found in best if found.optimizer == "msgd"]
    text = run("best", completed.sweep_id).stdout
    assert text.startswith(
        "# Best configuration of msgd in the sweep small, by validation accuracy"
    )
    (trial,) = load_spec(text).trials
    assert trial.learning_rate == msgd.hyperparameters["learning_rate"]
    assert trial.key in {found.key for found in completed.trials()}
    code = run("best", completed.sweep_id, "--python").stdout
    assert f"optimizer = SGD(model.parameters(), lr={trial.learning_rate!r}, " in code
    other = run("best", completed.sweep_id, "--optimizer", "sa-sam", "--python").stdout
    assert "from sasam.optimizers import SASAM" in other
    unknown = run("best", completed.sweep_id, "--optimizer", "nope")
    assert unknown.exit_code == 2
    assert "nope" in unknown.output
