"""Reuse of trials of another sweep: what matches, faults of MLflow, and whole drivers."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import ray
from mlflow.exceptions import MlflowException

from service.external.mlflow_gateway import MlflowGateway
from tests.support.driver_jobs import (
    ROOT,
    artifact_json,
    deliver,
    histories,
    start_driver,
    trial_runs,
)
from workers import reuse
from workers.journal import Journal
from workers.metrics import Outcome
from workers.mlflow_schema import Tag
from workers.reuse import reusable_trials, reuse_trials

GRID = {"learning_rate": [0.1, 0.01], "weight_decay": [0]}
MATRIX = {"brightness": [0.5, 0.25]}


@pytest.fixture(scope="module")
def cluster(mlflow_server):
    """A cluster of two CPUs, which outlives its drivers."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture
def numerics(request):
    """Numerics that no other test has."""
    return f"sasam 1.0 abc; torch 2; cpu Test (R) AVX2; threads 1; data {request.node.name}"


@pytest.fixture
def record(make_job, open_journal, numerics):
    """Record ended trials of another sweep in MLflow; returns its job."""
    own = numerics

    def record_sweep(*, sweep_id="source", numerics=own, **changes):
        outcome = changes.pop("outcome", Outcome.COMPLETED)
        origin = changes.pop("origin", None)
        job = make_job(optimizers=["msgd"], sweep_id=sweep_id, **{"search": GRID, **changes})
        journal = open_journal(job)
        journal.append("sweep_started", tags={})
        for trial in job.specification.trials:
            journal.append("trial_started", trial.key, attempt=1)
            for epoch in (1, 2):
                metrics = {"val_accuracy": 0.25 * epoch, "train_loss": 1 / 3 / epoch}
                if epoch == 2:
                    metrics["ood_accuracy.fog"] = 0.125
                journal.append("epoch", trial.key, epoch=epoch, metrics=metrics)
            if outcome is not None:
                details = {"numerics": numerics} if numerics else {}
                details |= {"ood_matrix": MATRIX} if outcome == Outcome.COMPLETED else {}
                details |= {"origin": origin} if origin else {}
                journal.append("trial_ended", trial.key, outcome=outcome, epoch=2, **details)
        deliver(job, journal)
        return job

    return record_sweep


@pytest.fixture
def reuse_in(make_job, open_journal, numerics):
    """Reuse trials in a sweep; returns how many, its journal and its job."""

    def run(**changes):
        options = {"optimizers": ["msgd"], "search": GRID, "reuse": True}
        job = make_job(**options | changes)
        journal = open_journal(job)
        journal.append("sweep_started", tags={})
        wanted = reusable_trials(job.specification, journal)
        return reuse_trials(job, journal, wanted, numerics), journal, job

    return run


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.DIVERGED])
def test_reused_trial_is_delivered_with_everything_that_the_original_has(
    record, reuse_in, client, tmp_path, outcome
):
    source = record(outcome=outcome)
    count, journal, job = reuse_in()
    assert count == 2
    assert journal.outcomes == dict.fromkeys(journal.outcomes, outcome)
    deliver(job, journal)
    originals, copies = trial_runs(client, source), trial_runs(client, job)
    assert copies.keys() == originals.keys()
    for key, original in originals.items():
        require_same_results(client, copies[key], original, tmp_path)
        for name in original.data.metrics:
            times = [
                [point.timestamp for point in client.get_metric_history(run.info.run_id, name)]
                for run in (copies[key], original)
            ]
            assert times[0] == times[1]


CHANGES = {
    "other numerics": (
        {"numerics": "sasam 1.0 abc; torch 2; cpu Test (R) AVX2; threads 2; data abc"},
        {},
    ),
    "numerics of a part": ({"numerics": "mixed"}, {}),
    "numerics unknown": ({"numerics": None}, {}),
    "other learning rate": ({}, {"search": {"learning_rate": [0.5], "weight_decay": [0]}}),
    "other seed": ({}, {"seeds": [1]}),
    "other data": ({}, {"dataset": {"name": "digits", "train_size": 255, "test_size": 100}}),
    "other curvature": ({}, {"curvature": {"metrics": ["trace"]}}),
    "no corrupted images": ({}, {"ood": None}),
    "failed": ({"outcome": Outcome.FAILED}, {}),
    "cancelled": ({"outcome": Outcome.CANCELLED}, {}),
    "pruned": ({"outcome": Outcome.PRUNED}, {}),
    "running": ({"outcome": None}, {}),
    "a copy itself": (
        {"origin": {"sweep_id": "z", "run_id": "r", "started_ms": 1, "ended_ms": 2}},
        {},
    ),
}


@pytest.mark.parametrize(("recorded", "wanted"), CHANGES.values(), ids=CHANGES)
def test_trial_that_differs_in_one_respect_is_not_reused(record, reuse_in, recorded, wanted):
    record(**recorded)
    count, journal, _ = reuse_in(**wanted)
    assert count == 0
    assert not journal.outcomes


def test_own_runs_are_not_reused(record, numerics, tmp_path):
    job = record()
    journal = Journal(tmp_path / "empty.jsonl")
    wanted = reusable_trials(job.specification, journal)
    assert len(wanted) == 2
    assert reuse_trials(job, journal, wanted, numerics) == 0
    journal.close()


def test_oldest_of_several_results_is_reused(record, reuse_in):
    record(sweep_id="older", name="experiment-a")
    record(sweep_id="younger", name="experiment-b")
    _, journal, _ = reuse_in()
    reused = [entry.data for entry in journal.entries() if entry.kind == "trial_reused"]
    assert [data["origin"]["sweep_id"] for data in reused] == ["older", "older"]


def test_reuse_after_a_crash_appends_the_missing_trials_alone(record, reuse_in, numerics):
    record(search={"learning_rate": [0.1], "weight_decay": [0]}, sweep_id="crash-1")
    first, journal, job = reuse_in()
    assert first == 1
    record(search={"learning_rate": [0.1, 0.01], "weight_decay": [0]}, sweep_id="crash-2")
    wanted = reusable_trials(job.specification, journal)
    assert reuse_trials(job, journal, wanted, numerics) == 1
    keys = [entry.trial for entry in journal.entries() if entry.kind == "trial_reused"]
    assert sorted(keys) == sorted(trial.key for trial in job.specification.trials)


def test_trial_that_has_recorded_epochs_is_not_reused(make_job, open_journal):
    job = make_job(reuse=True)
    journal = open_journal(job)
    begun, failed, failed_later, *others = (trial.key for trial in job.specification.trials)
    journal.append("epoch", begun, epoch=1, metrics={})
    journal.append("epoch", failed_later, epoch=1, metrics={})
    for key in (failed, failed_later):
        journal.append("trial_ended", key, outcome=Outcome.FAILED, epoch=0)
    assert reusable_trials(job.specification, journal) == {failed, *others}


def test_trial_of_an_installed_module_is_not_reused(make_job, open_journal):
    optimizers = ["msgd", {"name": "torch.optim:RMSprop"}]
    job = make_job(reuse=True, optimizers=optimizers)
    keys = reusable_trials(job.specification, open_journal(job))
    trials = [trial for trial in job.specification.trials if trial.optimizer_label == "msgd"]
    assert keys == {trial.key for trial in trials}


def test_run_deleted_between_lookup_and_copy_is_left_out(record, reuse_in, client, monkeypatch):
    source = record()
    deleted = {}
    find = reuse._find

    def find_then_delete(*arguments):
        found = find(*arguments)
        key = next(iter(found))
        deleted[key] = found[key]
        client.delete_run(found[key].info.run_id)
        return found

    monkeypatch.setattr(reuse, "_find", find_then_delete)
    count, journal, _ = reuse_in()
    assert count == 1
    assert journal.outcomes.keys() == trial_runs(client, source).keys() - deleted.keys()


def test_reuse_waits_until_mlflow_answers(record, reuse_in, monkeypatch):
    record()
    monkeypatch.setattr(reuse, "_PAUSE_SECONDS", 0.01)
    search, calls = reuse.MlflowClient.search_runs, []

    def fail_first(self, *arguments, **options):
        calls.append(arguments)
        if len(calls) < 3:
            raise MlflowException("connection refused")
        return search(self, *arguments, **options)

    monkeypatch.setattr(reuse.MlflowClient, "search_runs", fail_first)
    count, _, _ = reuse_in()
    assert count == 2


def require_same_results(client, copy, original, folder):
    """Check that a run has the results of another one, and names it."""
    assert histories(client, copy) == histories(client, original)
    for tag in (Tag.OUTCOME, Tag.NUMERICS, Tag.HYPERPARAMETERS):
        assert copy.data.tags[tag] == original.data.tags[tag]
    assert copy.data.params == original.data.params
    assert copy.info.status == original.info.status == "FINISHED"
    names = {file.path for file in client.list_artifacts(original.info.run_id)} - {"log.txt"}
    assert {file.path for file in client.list_artifacts(copy.info.run_id)} == names
    for name in names:
        texts = [artifact_json(client, run, name, folder) for run in (copy, original)]
        assert texts[0] == texts[1]


def test_larger_sweep_reuses_the_trials_of_a_smaller_one_although_its_driver_is_killed(
    cluster, client, make_job, open_journal, tmp_path
):
    # The largest rate diverges, which is a result, too.
    small = {"learning_rate": [0.1, 1e20], "weight_decay": [0, 0.001]}
    first = make_job(optimizers=["msgd"], search=small, sweep_id="reuse-a")
    assert start_driver(first, cluster, tmp_path / "first").wait(timeout=300) == 0
    originals = trial_runs(client, first)
    assert {run.data.tags[Tag.OUTCOME] for run in originals.values()} == {"completed", "diverged"}

    large = small | {"weight_decay": [0, 0.001, 0.01]}
    second = make_job(optimizers=["msgd"], search=large, reuse=True, sweep_id="reuse-b")
    path = tmp_path / "sweeps" / "reuse-b" / "journal.jsonl"
    process = start_driver(second, cluster, tmp_path / "second")
    pause = threading.Event()
    while not (path.exists() and b'"trial_reused"' in path.read_bytes()):
        assert process.poll() is None, (tmp_path / "second").read_text()
        pause.wait(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = second.model_copy(update={"attempt": 2})
    assert start_driver(again, cluster, tmp_path / "third").wait(timeout=300) == 0

    entries = list(open_journal(second).entries())
    keys = {trial.key for trial in second.specification.trials}
    reused = [entry.trial for entry in entries if entry.kind == "trial_reused"]
    assert sorted(reused) == sorted(originals)
    trained = {entry.trial for entry in entries if entry.kind == "trial_started"}
    assert trained == keys - originals.keys()
    assert len(trained) == 2
    runs = trial_runs(client, second)
    assert runs.keys() == keys
    for key, original in originals.items():
        require_same_results(client, runs[key], original, tmp_path)

    results = MlflowGateway(second.mlflow_tracking_uri)
    found = results.sweep_run(second.specification.name, second.sweep_id)
    for run in results.trial_runs(found.experiment_id, second.sweep_id):
        if run.key in trained:
            assert run.origin is None
            continue
        source = originals[run.key].info
        assert (run.origin.sweep_id, run.origin.run_id) == ("reuse-a", source.run_id)
        assert run.origin.ended_at.timestamp() * 1000 == pytest.approx(source.end_time)
        assert run.ended_at > run.origin.ended_at
