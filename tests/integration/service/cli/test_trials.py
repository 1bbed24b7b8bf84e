"""Commands on trials."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, get_args

from service.api.trials import Status
from service.cli.completion import trial_statuses
from service.client import Sweep


def test_trials_filtered_and_as_csv(run: Any, completed: Sweep) -> None:
    found = json.loads(run("trials", "--status", "diverged", "-o", "json").stdout)
    assert [trial["optimizer"] for trial in found] == ["sa-sam"] * 4
    rows = list(csv.DictReader(io.StringIO(run("trials", "latest", "-o", "csv").stdout)))
    assert len(rows) == 8
    assert rows[1]["metrics.val_accuracy"] == "0.55"
    assert run("trials").stdout.splitlines()[2].split()[-2:] == ["55.0", "45.0"]


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
