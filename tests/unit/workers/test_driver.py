"""How a driver ends, as a process and without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workers.job import EXIT_DEFECT, EXIT_INVALID, JOB_VARIABLE, DriverJob
from workers.journal import Journal
from workers.sweep_run import _tolerate_after_progress

SPEC = {
    "name": "small",
    "dataset": {"name": "digits", "train_size": 256, "test_size": 100},
    "ood": None,
    "curvature": None,
    "model": "cnn-tiny",
    "optimizers": ["sam"],
    "training": {"epochs": 1, "batch_size": 64},
}


def end_of_driver(job: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.driver"],
        env=os.environ | {JOB_VARIABLE: job, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def make_job(tmp_path: Path, **changes: Any) -> DriverJob:
    return DriverJob(
        sweep_id="abc",
        attempt=1,
        specification=SPEC | changes,
        mlflow_tracking_uri="http://127.0.0.1:1",
        storage_path=str(tmp_path),
        scratch_path=str(tmp_path),
        data_dir=str(tmp_path / "data"),
    )


@pytest.mark.slow
def test_driver_of_a_network_beyond_the_machine_ends_by_itself(tmp_path: Path) -> None:
    job = make_job(tmp_path, model={"name": "cnn-tiny", "kwargs": {"width": 10**9}})
    ended = end_of_driver(job.model_dump_json())
    assert ended.returncode == EXIT_INVALID, ended.stderr
    assert "sasam: model: the network is too large" in ended.stderr


@pytest.mark.slow
def test_driver_of_a_damaged_job_says_that_another_attempt_does_not_help() -> None:
    ended = end_of_driver('{"sweep_id": "abc\\u001b[31m"}')
    assert ended.returncode == EXIT_DEFECT, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("sasam: ValidationError: ")
    assert "\x1b" not in last


def test_defect_before_any_epoch_is_final_and_after_one_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="no such actor"), _tolerate_after_progress(journal):
        raise ValueError("no such actor")

    def tune() -> None:
        with _tolerate_after_progress(journal):
            journal.append("epoch", "key", epoch=1, metrics={})
            raise ValueError("no such actor")

    with pytest.raises(RuntimeError, match="Tune failed: ValueError: no such actor"):
        tune()
    journal.close()
