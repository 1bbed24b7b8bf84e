"""Whole drivers on a real cluster: killed, started again, with trials that fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
import ray
import torch

from service.external.mlflow_gateway import MlflowGateway
from tests.support.driver_jobs import ROOT, histories, start_driver, trial_runs
from workers import driver, shares, sweep_run, trial_process
from workers.failures import Retries
from workers.journal import JournalEntry
from workers.metrics import Outcome
from workers.mlflow_schema import TrialIdentity
from workers.spec import Configuration, SweepSpec, TpeSearch
from workers.spec.extension import require_extension
from workers.tpe import TriedConfiguration, suggest_configuration
from workers.trainable import SweepTrial
from workers.trial_process import TrialProcess


@pytest.fixture(scope="module")
def cluster(mlflow_server):
    """A cluster of two CPUs, which outlives its drivers."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def entries_of(job) -> list[JournalEntry]:
    """What is in a sweep's journal, the last line perhaps torn."""
    path = Path(job.scratch_path) / "sweeps" / job.sweep_id / "journal.jsonl"
    text = path.read_text() if path.exists() else ""
    return [
        JournalEntry(**json.loads(line)) for line in text.splitlines(True) if line.endswith("\n")
    ]


def await_ends(job, count, process):
    """Wait until so many trials have ended."""
    pause = threading.Event()
    while sum(entry.kind == "trial_ended" for entry in entries_of(job)) < count:
        assert process.poll() is None, "the driver ended"
        pause.wait(0.02)


def await_finished_runs(client, job, count, process):
    """Wait until MLflow has so many trials that have ended; it learns of them in batches."""
    await_ends(job, count, process)
    pause = threading.Event()
    while sum(run.info.status == "FINISHED" for run in trial_runs(client, job).values()) < count:
        assert process.poll() is None, "the driver ended"
        pause.wait(0.02)


def test_tpe_sweep_continues_after_its_driver_was_killed(cluster, client, make_job, tmp_path):
    changes = {
        "search": {"type": "tpe", "trials": 5},
        "early_stopping": {"grace_epochs": 1, "reduction_factor": 2},
        "training": {"epochs": 3, "batch_size": 64, "augmentation": "none"},
        "ood": None,
    }
    job = make_job(**changes)
    specification = job.specification
    first = start_driver(job, cluster, tmp_path / "first")
    await_ends(job, 6, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = entries_of(job)
    ended = {entry.trial for entry in before if entry.kind == "trial_ended"}
    assert len(ended) < specification.trial_count
    second = start_driver(job.model_copy(update={"attempt": 2}), cluster, tmp_path / "second")
    assert second.wait(timeout=300) == 0

    entries = entries_of(job)
    assert entries[: len(before)] == before
    after = entries[len(before) :]
    assert not {entry.trial for entry in after} & ended  # what has ended, or was stopped, stays so
    outcomes = {e.trial: e.data["outcome"] for e in entries if e.kind == "trial_ended"}
    assert len(outcomes) == specification.trial_count == 10
    assert Counter(outcomes.values()).keys() == {Outcome.COMPLETED, Outcome.PRUNED}

    made = [entry.data for entry in entries if entry.kind == "suggestion"]
    assert Counter(data["label"] for data in made) == {"sam": 5, "msgd": 5}
    for label in specification.labels:
        assert [data["number"] for data in made if data["label"] == label] == [*range(5)]
    assert replayed(specification, entries) == [data["configuration"] for data in made]

    runs = trial_runs(client, job)
    assert runs.keys() == outcomes.keys()
    assert {key: run.data.tags["sasam.outcome"] for key, run in runs.items()} == outcomes
    assert sorted(int(run.data.tags["sasam.position"]) for run in runs.values()) == [*range(10)]
    for run in runs.values():
        epochs = histories(client, run)["epoch"]
        assert epochs == [(epoch, epoch) for epoch in range(1, len(epochs) + 1)]

    # What the service learns of trials that it did not plan.
    results = MlflowGateway(job.mlflow_tracking_uri)
    sweep = results.sweep_run(specification.name, job.sweep_id)
    assert sweep is not None
    expected = {}
    for data in made:
        expected |= specification.expand(data["label"], data["number"], data["configuration"])
    assert {
        run.key: run.identity for run in results.trial_runs(sweep.experiment_id, job.sweep_id)
    } == {
        trial.key: TrialIdentity.of(trial, position, specification.axes(trial.optimizer_label))
        for position, trial in expected.items()
    }


def test_tpe_sweep_continues_after_its_storage_was_lost(cluster, client, make_job, tmp_path):
    job = make_job(
        search={"type": "tpe", "trials": 5},
        early_stopping={"grace_epochs": 1, "reduction_factor": 2},
        training={"epochs": 3, "batch_size": 64, "augmentation": "none"},
        ood=None,
    )
    specification = job.specification
    first = start_driver(job, cluster, tmp_path / "first")
    await_finished_runs(client, job, 3, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = trial_runs(client, job)
    ended = {key for key, run in before.items() if run.info.status == "FINISHED"}
    assert 0 < len(ended) < specification.trial_count
    shutil.rmtree(Path(job.scratch_path) / "sweeps" / job.sweep_id)
    second = start_driver(job.model_copy(update={"attempt": 2}), cluster, tmp_path / "second")
    assert second.wait(timeout=300) == 0

    entries = entries_of(job)
    assert not {entry.trial for entry in entries if entry.kind == "trial_started"} & ended
    made = [entry.data for entry in entries if entry.kind == "suggestion"]
    for label in specification.labels:
        # MLflow may not know the suggestion of a short trial that ran: its number is used again.
        assert sorted(data["number"] for data in made if data["label"] == label) == [*range(5)]
    runs = trial_runs(client, job)
    assert sorted(int(run.data.tags["sasam.position"]) for run in runs.values()) == [*range(10)]
    for key, run in runs.items():
        assert run.data.tags["sasam.outcome"] in {Outcome.COMPLETED, Outcome.PRUNED}
        for name, values in histories(client, run).items():
            assert [step for step, _ in values] == [*range(1, len(values) + 1)], name
        if key in before:
            assert run.info.run_id == before[key].info.run_id
        if key in ended:
            assert run.info.end_time == before[key].info.end_time


def replayed(specification, entries):
    """Each suggestion as it follows from the journal before it, whichever driver made it."""
    search = specification.search
    assert isinstance(search, TpeSearch)
    chance, configurations, keys, values, outcomes = 0.1, [], {}, {}, {}

    def tried(configuration, key):
        value = chance if outcomes.get(key) == Outcome.DIVERGED else values.get(key)
        return TriedConfiguration(
            configuration, [value] if key in outcomes else None, key in outcomes
        )

    for entry in entries:
        match entry.kind:
            case "suggestion":
                label = entry.data["label"]
                past = [tried(*of) for of in keys.setdefault(label, [])]
                space = specification.space(label)
                configurations.append(suggest_configuration(search, space, label, past).plain())
                (seed,) = specification.seeds
                made = Configuration(entry.data["configuration"])
                keys[label].append((made, specification.trial(label, made, seed).key))
            case "epoch":
                values[entry.trial] = entry.data["metrics"]["val_accuracy"]
            case "trial_ended":
                outcomes[entry.trial] = entry.data["outcome"]
    return configurations


def test_grid_of_momentum_and_batch_size_continues_after_its_driver_was_killed(
    cluster, client, make_job, tmp_path
):
    job = make_job(
        optimizers=["msgd", {"name": "sam", "search": {"rho": [0.05]}}],
        search={
            **{"learning_rate": 0.05, "weight_decay": None},
            "optimizer.momentum": [0, 0.9],
            "training.batch_size": [32, 128],
        },
        training={"epochs": 2, "augmentation": "none"},
        ood=None,
    )
    specification = job.specification
    first = start_driver(job, cluster, tmp_path / "first")
    await_ends(job, 3, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = entries_of(job)
    ended = {entry.trial for entry in before if entry.kind == "trial_ended"}
    assert len(ended) < specification.trial_count == 8
    second = start_driver(job.model_copy(update={"attempt": 2}), cluster, tmp_path / "second")
    assert second.wait(timeout=300) == 0

    entries = entries_of(job)
    assert entries[: len(before)] == before
    assert not {entry.trial for entry in entries[len(before) :]} & ended
    runs = trial_runs(client, job)
    assert runs.keys() == {trial.key for trial in specification.trials}
    for position, trial in enumerate(specification.trials):
        run = runs[trial.key]
        steps = 256 // trial.training.batch_size
        per_step = 2 if trial.optimizer.name == "sam" else 1
        assert run.data.metrics["gradient_evaluations"] == 2 * steps * per_step
        axes = specification.axes(trial.optimizer_label)
        assert TrialIdentity.decode(run) == TrialIdentity.of(trial, position, axes)
        assert run.data.params["optimizer.momentum"] == str(trial.optimizer.momentum)
        assert run.data.params["training.batch_size"] == str(trial.training.batch_size)


def test_extended_sweep_runs_only_its_new_trials(cluster, client, make_job, tmp_path):
    job = make_job(
        search={"learning_rate": [0.1], "weight_decay": [0]},
        training={"epochs": 1, "batch_size": 64, "augmentation": "none"},
        ood=None,
        curvature=None,
    )
    assert start_driver(job, cluster, tmp_path / "first").wait(timeout=300) == 0
    before, runs = entries_of(job), trial_runs(client, job)

    plain = job.specification.model_dump(mode="json")
    plain |= {"search": {"learning_rate": [0.01, 0.1], "weight_decay": [0]}, "seeds": [0, 1]}
    larger = SweepSpec.model_validate(plain)
    require_extension(job.specification, larger)
    extended = job.model_copy(update={"attempt": 2, "specification": larger})
    assert start_driver(extended, cluster, tmp_path / "second").wait(timeout=300) == 0
    entries, after = entries_of(job), trial_runs(client, job)
    assert entries[: len(before)] == before
    added = {trial.key for trial in larger.trials} - runs.keys()
    assert len(added) == 6
    assert {entry.trial for entry in entries[len(before) :] if entry.trial} == added
    assert after.keys() == runs.keys() | added
    for key, run in runs.items():
        assert after[key].to_dictionary() == run.to_dictionary()


@pytest.mark.parametrize("is_lost", [False, True], ids=["killed", "killed and its disk lost"])
def test_tpe_over_betas_continues_with_what_it_has_learned(
    cluster, client, make_job, tmp_path, is_lost
):
    job = make_job(
        optimizers=[{"name": "adam", "search": {"betas": [[0.5, 0.9], [0.9, 0.95], [0.9, 0.999]]}}],
        search={"type": "tpe", "trials": 6, "training.batch_size": {"low": 32, "high": 128}},
        training={"epochs": 2, "augmentation": "none"},
        ood=None,
    )
    specification = job.specification
    first = start_driver(job, cluster, tmp_path / "first")
    await_ends(job, 3, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = trial_runs(client, job)
    ended = {key for key, run in before.items() if run.info.status == "FINISHED"}
    if is_lost:
        shutil.rmtree(Path(job.scratch_path) / "sweeps" / job.sweep_id)
    second = start_driver(job.model_copy(update={"attempt": 2}), cluster, tmp_path / "second")
    assert second.wait(timeout=300) == 0

    entries = entries_of(job)
    made = [entry.data for entry in entries if entry.kind == "suggestion"]
    by_number = sorted(made, key=lambda data: data["number"])
    assert [data["number"] for data in by_number] == [*range(6)]
    configurations = [Configuration(data["configuration"]) for data in by_number]
    assert len(set(configurations)) == 6
    assert all(isinstance(found["training.batch_size"], int) for found in configurations)
    if is_lost:
        assert not {e.trial for e in entries if e.kind == "trial_started"} & ended
    else:
        assert replayed(specification, entries) == [data["configuration"] for data in made]
    runs = trial_runs(client, job)
    expected = {}
    for number, configuration in enumerate(configurations):
        expected |= specification.expand("adam", number, configuration)
    assert {trial.key for trial in expected.values()} == runs.keys()
    for position, trial in expected.items():
        identity = TrialIdentity.decode(runs[trial.key])
        assert identity == TrialIdentity.of(trial, position, specification.axes("adam"))
        assert runs[trial.key].data.params["optimizer.betas"] == str(list(trial.optimizer.betas))


class FlakyProcess(TrialProcess):
    """Fails in a way that the learning rate of a trial names: in its second epoch, or before."""

    def _records(self, item, config):
        rate = item["trial"]["learning_rate"]
        if rate == 0.3:
            raise RuntimeError("no images on this node")
        folder = Path(config["checkpoint_dir"], item["key"])
        return self._fail_on_the_way(super()._records(item, config), rate, folder)

    def _fail_on_the_way(self, records, rate, folder):
        yield next(records)
        tries = folder / "tries"
        folder.mkdir(parents=True, exist_ok=True)
        before = tries.stat().st_size if tries.exists() else 0
        with tries.open("a") as file:
            file.write("x")
        if rate == 0.1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if rate == 0.5 or (rate == 0.2 and before < 1):
            os.kill(os.getpid(), signal.SIGKILL)
        yield from records


class Flaky(SweepTrial):
    """Runs trials in a `FlakyProcess`."""

    def setup(self, config):
        trial_process.TrialProcess = FlakyProcess
        super().setup(config)


@pytest.fixture
def flaky(monkeypatch):
    """Trials are flaky, and retried soon."""
    monkeypatch.setattr(sweep_run, "SweepTrial", Flaky)
    monkeypatch.setattr(
        sweep_run, "Retries", lambda limit: Retries(limit, first_pause_seconds=0.05)
    )


def tries_of(job):
    """How often each trial reached its second epoch."""
    folder = Path(job.storage_path) / "sweeps" / job.sweep_id / "checkpoints"
    return {path.parent.name: path.stat().st_size for path in folder.glob("*/tries")}


def test_death_of_a_share_loses_no_result_and_counts_only_against_the_trial_that_causes_it(
    cluster, client, make_job, flaky, monkeypatch
):
    monkeypatch.setattr(shares, "_SHARE_SECONDS", 3600.0)
    job = make_job(
        optimizers=["msgd"],
        search={
            "learning_rate": [0.01, 0.02, 0.5, 0.03, 0.04, 0.05, 0.06, 0.07],
            "weight_decay": [0],
        },
        ood=None,
        limits={"trial_retries": 1},
        resources={"max_concurrent": 1},
    )
    assert driver.run(job) == 0

    keys = [trial.key for trial in job.specification.trials]
    killer = keys[2]
    entries = entries_of(job)
    for kind in ("trial_started", "trial_ended"):
        assert Counter(e.trial for e in entries if e.kind == kind) == dict.fromkeys(keys, 1)
    outcomes = {e.trial: e.data["outcome"] for e in entries if e.kind == "trial_ended"}
    assert outcomes == dict.fromkeys(keys, "completed") | {killer: "failed"}
    assert tries_of(job)[killer] == 1 + 2  # with others, then alone with one retry
    runs = trial_runs(client, job)
    for key in {*keys} - {killer}:
        assert histories(client, runs[key])["epoch"] == [(1, 1), (2, 2)]


def test_failed_trials_are_tried_again_and_say_why(cluster, client, make_job, flaky):
    job = make_job(
        optimizers=["msgd"],
        search={"learning_rate": [0.1, 0.2, 0.3, 0.01], "weight_decay": [0]},
        ood=None,
        limits={"trial_retries": 1},
    )
    assert driver.run(job) == 0

    memory, killed, unready, healthy = (trial.key for trial in job.specification.trials)
    runs = trial_runs(client, job)
    tags = {key: run.data.tags for key, run in runs.items()}
    assert {key: tags[key]["sasam.outcome"] for key in tags} == {
        **{memory: "failed", killed: "completed", unready: "failed", healthy: "completed"}
    }
    assert tries_of(job) == {memory: 2, killed: 2, healthy: 1}
    assert tags[memory]["sasam.failure"] == "out_of_memory"
    assert tags[memory]["sasam.error"].startswith("torch.OutOfMemoryError: CUDA out of memory.")
    assert "(out of memory: choose a smaller training.batch_size, or" in tags[memory]["sasam.error"]
    assert tags[unready]["sasam.error"] == "RuntimeError: no images on this node"
    assert tags[unready]["sasam.failure"] == "error"
    for key in (killed, healthy):
        assert "sasam.failure" not in tags[key]
        assert histories(client, runs[key])["epoch"] == [(1, 1), (2, 2)]
    starts = Counter(entry.trial for entry in entries_of(job) if entry.kind == "trial_started")
    assert starts == dict.fromkeys(tags, 1)
