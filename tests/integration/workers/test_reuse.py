"""Whole drivers that reuse trials of another sweep, on a real cluster with a real MLflow server."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import ray

from service.external.mlflow_gateway import MlflowGateway
from tests.support.driver_jobs import ROOT, artifact_json, histories, start_driver, trial_runs
from workers.journal import Journal
from workers.mlflow_schema import Tag

SMALL = {"learning_rate": [0.1, 0.01], "weight_decay": [0, 0.001]}
LARGE = {"learning_rate": [0.1, 0.01], "weight_decay": [0, 0.001, 0.01]}


@pytest.fixture(scope="module")
def cluster(mlflow_server):
    """A cluster of two CPUs, which outlives its drivers."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def of_kind(job, journal, kind):
    """Keys of the trials of a sweep with an entry of a kind."""
    return [entry.trial for entry in journal.entries() if entry.kind == kind]


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
    # The largest rate diverges: this is a result, too.
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
    while not (path.exists() and path.read_bytes().count(b'"trial_reused"') >= 2):
        assert process.poll() is None, (tmp_path / "second").read_text()
        pause.wait(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = second.model_copy(update={"attempt": 2})
    assert start_driver(again, cluster, tmp_path / "third").wait(timeout=300) == 0

    journal = open_journal(second)
    keys = [trial.key for trial in second.specification.trials]
    assert sorted(of_kind(second, journal, "trial_reused")) == sorted(originals)
    assert set(of_kind(second, journal, "trial_started")) == set(keys) - originals.keys()
    assert len(set(keys) - originals.keys()) == 2
    runs = trial_runs(client, second)
    assert runs.keys() == set(keys)
    for key, original in originals.items():
        require_same_results(client, runs[key], original, tmp_path)

    results = MlflowGateway(second.mlflow_tracking_uri)
    found = results.sweep_run(second.specification.name, second.sweep_id)
    by_key = {run.key: run for run in results.trial_runs(found.experiment_id, second.sweep_id)}
    for key, run in by_key.items():
        if key not in originals:
            assert run.origin is None
            continue
        source = originals[key]
        assert (run.origin.sweep_id, run.origin.run_id) == ("reuse-a", source.info.run_id)
        assert run.origin.ended_at.timestamp() * 1000 == pytest.approx(source.info.end_time)
        assert run.ended_at > run.origin.ended_at
    assert isinstance(journal, Journal)
