"""The product from outside: `sasam up`, a sweep over HTTP, real kills, every trial once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from mlflow import MlflowClient

from service.client import Client

SPECIFICATION = """
name: e2e
dataset: digits
ood: {corruptions: [gaussian_noise, fog], severities: [1, 5], images: 100}
model: cnn-tiny
optimizers: [sa-sam, sa-sgd, msgd, broken]
search: {learning_rate: [1e-2, 1e30], weight_decay: [0, 1e-4]}
seeds: [0, 1]
training: {epochs: 4, batch_size: 64, augmentation: none}
curvature: {images: 100, trace_tolerance: 0.2}
limits: {trial_retries: 0}
"""
PLUGIN = """
import torch

class Broken(torch.optim.SGD):
    def step(self, closure=None):
        if self.param_groups[0]["lr"] > 1:
            raise RuntimeError("broken on purpose")
        return super().step(closure)

def build(model, lr, weight_decay):
    return Broken(model.parameters(), lr=lr, weight_decay=weight_decay)
"""
T = TypeVar("T")
TRIALS = 4 * 2 * 2 * 2
FAILED = 2 * 2
DEADLINE_SECONDS = 300


def installed_plugin(folder: Path) -> Path:
    """A package that offers the optimizer `broken`, which raises at large learning rates."""
    (folder / "plugin-0.1.dist-info").mkdir(parents=True)
    (folder / "plugin-0.1.dist-info" / "METADATA").write_text("Name: plugin\nVersion: 0.1\n")
    entry = "[sasam.optimizers]\nbroken = sasam_broken_plugin:build\n"
    (folder / "plugin-0.1.dist-info" / "entry_points.txt").write_text(entry)
    (folder / "sasam_broken_plugin.py").write_text(PLUGIN)
    return folder


@contextmanager
def running(home: Path, plugin: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`sasam up` as a process of its own, ended as a user ends it."""
    command = [str(Path(sys.executable).with_name("sasam")), "up"]
    process = subprocess.Popen(
        command, env=os.environ | {"SASAM_HOME": str(home), "PYTHONPATH": str(plugin)}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def until(probe: Callable[[], T | None], what: str) -> T:
    """Ask again and again until there is an answer."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = probe()
        if found is not None:
            return found
        time.sleep(0.2)  # between two looks, not instead of one
    pytest.fail(f"waited {DEADLINE_SECONDS} s for {what}")


def address_of(home: Path) -> str:
    """Where the service answers, once it does."""

    def answer() -> str | None:
        try:
            ports = json.loads((home / "ports.json").read_text())
            url = f"http://127.0.0.1:{ports['service']}"
            return url if httpx.get(f"{url}/readyz").is_success else None
        except (OSError, ValueError, httpx.HTTPError):
            return None

    return until(answer, "the service")


@pytest.mark.timeout(900)
def test_sweep_service_and_supervisor_killed_ends_with_every_trial_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    plugin = installed_plugin(tmp_path / "plugin")
    with running(home, plugin) as first:
        with Client(address_of(home)) as client:
            sweep = client.sweeps.submit(SPECIFICATION)
            until(lambda: sweep.refresh().progress.ended >= 3 or None, "three trials")
        (uvicorn,) = _processes(home, b"service.server")
        os.kill(uvicorn, signal.SIGKILL)
        with Client(address_of(home)) as client:
            again = client.sweeps.get(sweep.sweep_id)
            until(lambda: again.refresh().progress.ended >= 8 or None, "eight trials")
        first.kill()
        first.wait()

    with running(home, plugin):
        url = address_of(home)
        with Client(url) as client:
            sweep = client.sweeps.get(sweep.sweep_id).wait(DEADLINE_SECONDS)
            assert sweep.state == "completed"
            assert sweep.progress.completed + sweep.progress.diverged == TRIALS - FAILED
            trials = list(sweep.trials())
            failed = [sweep.trial(t.key) for t in trials if t.status == "failed"]
            summary = sweep.summary()
            picture = sweep.figure_file("accuracy-heatmap", "png")
        runs = _mlflow_runs(home, sweep.sweep_id)
        _cancel_while_mlflow_is_silent(home, url)

    assert Counter(trial.status for trial in trials if trial.learning_rate == 1e-2) == {
        "completed": TRIALS // 2
    }
    diverged = [trial for trial in trials if trial.status == "diverged"]
    assert {trial.learning_rate for trial in diverged} == {1e30}
    assert "msgd" in {trial.optimizer for trial in diverged}
    assert [trial.optimizer for trial in failed] == ["broken"] * FAILED
    for trial in failed:
        assert trial.error == "RuntimeError: broken on purpose"
        assert trial.traceback is not None
        assert "sasam_broken_plugin.py" in trial.traceback
    assert not summary.complete, "failed trials are holes"
    for optimizer in summary.optimizers:
        assert optimizer.best_config.ood_accuracy > 0.5
        assert optimizer.lr_sensitivity is not None
    assert picture.startswith(b"\x89PNG")
    assert Counter(run.data.tags["sasam.trial"] for run in runs) == {t.key: 1 for t in trials}
    assert Counter(run.info.status for run in runs) == {
        "FINISHED": TRIALS - FAILED,
        "FAILED": FAILED,
    }


def _cancel_while_mlflow_is_silent(home: Path, url: str) -> None:
    """What has ended in a cancelled sweep counts, though MLflow learns of it after the cancel."""

    def ended_in_journal() -> int:
        return journal.read_text().count('"kind": "trial_ended"')

    with Client(url) as client:
        sweep = client.sweeps.submit(SPECIFICATION.replace("name: e2e", "name: cancelled"))
        journal = home / "storage" / "sweeps" / sweep.sweep_id / "journal.jsonl"
        until(lambda: sweep.refresh().progress.ended >= 1 or None, "a trial")
        mlflow = _processes(home, b"mlflow")
        assert mlflow
        for pid in mlflow:
            os.kill(pid, signal.SIGSTOP)
        try:
            delivered = sweep.refresh().progress.ended
            until(lambda: ended_in_journal() >= delivered + 3 or None, "three more trials")
            sweep.cancel()
            time.sleep(5)  # longer than Ray lets a job live that it asked to end
        finally:
            for pid in mlflow:
                os.kill(pid, signal.SIGCONT)
        assert sweep.wait(DEADLINE_SECONDS).state == "cancelled"
        progress = sweep.progress
        assert (
            progress.completed + progress.diverged + progress.failed == ended_in_journal() < TRIALS
        )
        assert progress.running == 0


def _processes(home: Path, text: bytes) -> list[int]:
    """A home's processes whose command line has a text in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = b"\0" + (process / "environ").read_bytes()
            if text in (process / "cmdline").read_bytes():
                found += [int(process.name)] * (f"\0SASAM_HOME={home}\0".encode() in environment)
    return found


def _mlflow_runs(home: Path, sweep_id: str) -> list:
    """All trial runs of a sweep, and each metric once a step."""
    port = json.loads((home / "ports.json").read_text())["mlflow"]
    client = MlflowClient(f"http://127.0.0.1:{port}")
    experiment = client.get_experiment_by_name("e2e")
    condition = f"tags.`sasam.sweep` = '{sweep_id}' and tags.`sasam.kind` = 'trial'"
    runs = list(client.search_runs([experiment.experiment_id], condition))
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "val_accuracy")
        steps = [metric.step for metric in history]
        assert sorted(set(steps)) == sorted(steps), "an epoch stands twice"
    return runs
