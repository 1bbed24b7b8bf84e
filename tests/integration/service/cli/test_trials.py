"""Commands on trials."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from service.api.trials import Status
from service.cli.completion import trial_statuses
from service.client import Client, Sweep
from workers.spec import load_spec


def test_trials_filtered_and_as_csv(run: Any, completed: Sweep) -> None:
    found = json.loads(run("trials", "--status", "diverged", "-o", "json").stdout)
    assert [trial["optimizer"] for trial in found] == ["sa-sam"] * 4
    rows = list(csv.DictReader(io.StringIO(run("trials", "latest", "-o", "csv").stdout)))
    assert len(rows) == 8
    assert rows[1]["metrics.val_accuracy"] == "0.55"
    assert run("trials").stdout.splitlines()[2].split()[-2:] == ["55.0", "45.0"]


AXES = """
name: axes
dataset: digits
model: cnn-tiny
optimizers: [{name: adam, search: {betas: [[0.9, 0.95], [0.9, 0.999]]}}, msgd]
search: {learning_rate: [0.1], weight_decay: null, training.batch_size: [32, 64]}
"""


def test_trials_have_a_column_per_axis_and_are_found_by_its_value(run: Any, client: Client) -> None:
    client.sweeps.submit(AXES)
    head, first, *others = run("trials", env={"COLUMNS": "200"}).stdout.splitlines()
    assert head.split()[:7] == ["trial", "optimizer", "lr", "batch", "size", "betas", "seed"]
    assert first.split()[1:6] == ["adam", "0.1", "32", "[0.9,", "0.95]"]
    assert len(others) == 5
    words = ("--at", "training.batch_size=64", "--at", "optimizer.betas=[0.9, 0.95]")
    (found,) = json.loads(run("trials", *words, "-o", "json").stdout)
    assert found["hyperparameters"]["optimizer.betas"] == [0.9, 0.95]
    rows = list(csv.DictReader(io.StringIO(run("trials", "-o", "csv").stdout)))
    assert rows[0]["hyperparameters.training.batch_size"] == "32"
    none = run("trials", "--at", "training.batch_size=3")
    assert none.stderr == "no trials at training.batch_size=3\n"
    unknown = run("trials", "--at", "momentum=3")
    assert unknown.exit_code == 2
    assert "unknown axis 'momentum'" in unknown.stderr


def test_trial_run_unknown_file_is_refused(tmp_path: Path, run: Any) -> None:
    answer = run("trial", "run", str(tmp_path / "nothing.yaml"))
    assert answer.exit_code == 2
    assert "does not exist" in " ".join(answer.stderr.split())


def test_trials_unknown_status_names_the_nearest_and_all_statuses(run: Any, sweep: Sweep) -> None:
    answer = run("trials", "--status", "complete")
    assert answer.exit_code == 2
    assert answer.stderr.startswith("sasam: unknown status 'complete'; did you mean completed? ")
    assert "(known: pending, running, completed, diverged, " in answer.stderr
    none = run("trials", "--status", "failed")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "no failed trials\n")


def test_trial_statuses_are_those_of_the_service() -> None:
    assert set(trial_statuses("")) == set(get_args(Status))


def test_trials_are_sorted_by_any_value(run: Any, completed: Any) -> None:
    def column(sort: str, name: str) -> list[Any]:
        listed = json.loads(run("trials", completed.sweep_id, "--sort", sort, "--json").stdout)
        return [trial["metrics"].get(name, trial.get(name)) for trial in listed]

    accuracies = column("-val_accuracy", "val_accuracy")
    known = [value for value in accuracies if value is not None]
    assert known == sorted(known, reverse=True)
    assert len(known) > 1
    assert accuracies[len(known) :] == [None] * (len(accuracies) - len(known))
    rates = column("learning_rate", "learning_rate")
    assert rates == sorted(rates)
    refused = run("trials", completed.sweep_id, "--sort", "val_acuracy")
    assert refused.exit_code == 2
    assert "did you mean val_accuracy?" in refused.stderr


def test_specification_of_a_trial_has_that_trial_alone(run: Any, completed: Any) -> None:
    (first, *_) = completed.trials()
    answer = run("trial", "spec", completed.sweep_id, first.key[:12])
    (trial,) = load_spec(answer.stdout).trials
    assert trial.key == first.key
    assert answer.stdout.startswith(f"# Trial {first.key} of sweep {completed.sweep_id}")
    for beginning, words in (("", "several trials"), ("x", "no trial")):
        refused = run("trial", "spec", completed.sweep_id, beginning)
        assert refused.exit_code == 1
        assert words in refused.stderr


def test_checkpoint_is_downloaded_or_says_why_not(
    run: Any, completed: Sweep, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = next(iter(completed.trials())).key
    missing = run("trial", "checkpoint", completed.sweep_id, key)
    assert missing.exit_code != 0
    assert f"trial {key} has no checkpoint here" in missing.output
    folder = service.storage / "sweeps" / completed.sweep_id / "checkpoints" / key
    folder.mkdir(parents=True)
    content = bytes(range(256)) * 9000
    (folder / "checkpoint.pt").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert run("trial", "checkpoint", completed.sweep_id, key[:9]).stdout == f"{key}.pt\n"
    assert Path(f"{key}.pt").read_bytes() == content
    saved = run("trial", "checkpoint", completed.sweep_id, key, "--save", "best.pt")
    assert saved.stdout == "best.pt\n"
    unknown = run("trial", "checkpoint", completed.sweep_id, "zz")
    assert "no trial of sweep" in unknown.output
