"""Processes of a real Tune run whose starts take longer than its trials."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest
import ray
from ray import tune
from ray.tune.search import Searcher

from workers.tune_scheduler import InOrderScheduler

TRIALS = 40


class SlowToStart(tune.Trainable):
    """A process that starts in two seconds, or three for the second one, for short trials."""

    def setup(self, config):
        first = Path(config["folder"], "first")
        try:
            first.touch(exist_ok=False)
        except FileExistsError:
            time.sleep(1)
        time.sleep(2)
        Path(config["folder"], f"{os.getpid()}.started").touch()

    def reset_config(self, new_config):
        return True

    def step(self):
        time.sleep(0.3)
        return {"process": os.getpid(), "done": True}


class Numbers(Searcher):
    """Gives four trials at a time."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.active, self.given = str(folder), set(), 0

    def __getstate__(self):
        return {}

    def suggest(self, trial_id):
        if self.given == TRIALS:
            return None if self.active else self.FINISHED
        if len(self.active) == 4:
            return None
        self.given += 1
        self.active.add(trial_id)
        return {"number": self.given, "folder": self.folder}

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.active.discard(trial_id)

    def save(self, checkpoint_path):
        pass

    def restore(self, checkpoint_path):
        pass


class Processes(tune.Callback):
    def __init__(self):
        self.trials = Counter()

    def __getstate__(self):
        return {}

    def on_trial_complete(self, iteration, trials, trial, **_):
        self.trials[trial.last_result["process"]] += 1


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "200")
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")  # of Tune's own
def test_process_that_starts_is_not_ended_when_another_becomes_free(cluster, tmp_path):
    """Tune's own scheduler ends it: the trial it starts for gets the free process."""
    processes = Processes()
    tune.Tuner(
        tune.with_resources(SlowToStart, {"CPU": 1}),
        tune_config=tune.TuneConfig(
            search_alg=Numbers(tmp_path),
            scheduler=InOrderScheduler(),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path / "tune"),
            callbacks=[processes],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    assert sum(processes.trials.values()) == TRIALS
    assert len(processes.trials) == 2
    assert min(processes.trials.values()) >= TRIALS / 4
    assert len([*tmp_path.glob("*.started")]) == 2
