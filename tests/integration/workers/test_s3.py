"""A sweep with its checkpoints on S3, whose node is lost before MLflow heard of anything."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest
import ray
from mlflow import MlflowClient

from service.external.mlflow_gateway import MlflowGateway
from tests.support.driver_jobs import ROOT, artifact, histories, start_driver, trial_runs
from tests.support.mlflow_server import MlflowServer
from tests.support.object_store import BUCKET
from workers.checkpoints import load_checkpoint
from workers.durable_storage import locate

EPOCHS = 4


@pytest.fixture(scope="module")
def cluster(mlflow_server, object_store):
    """A cluster of two CPUs whose nodes know where S3 is."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture
def silent_uri():
    """An MLflow that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_sweep_on_s3_continues_after_its_node_was_lost(
    cluster, client, make_job, object_store, silent_uri, tmp_path
):
    job = make_job(
        training={"epochs": EPOCHS, "batch_size": 64, "augmentation": "none"}, seeds=[0, 1]
    )
    prefix = f"{tmp_path.name}/sweeps/{job.sweep_id}/checkpoints/"
    job = job.model_copy(update={"storage_path": f"s3://{BUCKET}/{tmp_path.name}"})
    total = job.specification.trial_count
    first = start_driver(
        job.model_copy(update={"mlflow_tracking_uri": silent_uri}), cluster, tmp_path / "first"
    )
    journal = tmp_path / "sweeps" / job.sweep_id / "journal.jsonl"
    pause = threading.Event()
    while not journal.exists() or journal.read_text().count('"trial_ended"') < 2:
        assert first.poll() is None, (tmp_path / "first").read_text()
        pause.wait(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert '"sweep_ended"' not in journal.read_text()
    shutil.rmtree(tmp_path / "sweeps")
    ended = {
        name: object_store.version(name)
        for name in object_store.names(prefix)
        if name.endswith("checkpoint.pt") and has_ended(name)
    }
    assert len(ended) >= 2

    second = start_driver(job.model_copy(update={"attempt": 2}), cluster, tmp_path / "second")
    assert second.wait(timeout=300) == 0, (tmp_path / "second").read_text()
    runs = trial_runs(client, job)
    assert len(runs) == total == 8
    for run in runs.values():
        values = histories(client, run)
        assert [step for step, _ in values["val_accuracy"]] == [*range(1, EPOCHS + 1)]
        assert run.data.tags["sasam.outcome"] == "completed"
    for name, version in ended.items():  # not trained again, though nobody had heard of them
        assert object_store.version(name) == version
        key = name.split("/")[-2]
        lines = artifact(client, runs[key], "log.txt", tmp_path).splitlines()
        assert sum("val_accuracy" in line for line in lines) >= EPOCHS
    files = {Path(name).name for name in object_store.names(prefix)}
    assert files == {"checkpoint.pt", "log.txt"}
    assert not [*tmp_path.rglob("*.pt")]


def test_artifacts_of_mlflow_lie_on_s3(mlflow_server, object_store, tmp_path):
    server = MlflowServer(tmp_path, artifacts=f"s3://{BUCKET}/mlflow")
    server.start()
    try:
        server.await_health()
        writer = MlflowClient(server.uri)
        run = writer.create_run(writer.create_experiment("on S3"))
        writer.log_text(run.info.run_id, "two\nlines", "log.txt")
        [name] = object_store.names("mlflow/")
        assert name.endswith(f"{run.info.run_id}/artifacts/log.txt")
        results = MlflowGateway(server.uri)
        assert results.artifact_text(run.info.run_id, "log.txt") == "two\nlines"
    finally:
        server.kill()


def has_ended(name):
    saved = load_checkpoint(locate(f"s3://{BUCKET}/{name}"))
    return saved is not None and "outcome" in saved["records"][-1]


def test_driver_says_that_its_bucket_cannot_be_written(cluster, make_job, tmp_path):
    job = make_job().model_copy(update={"storage_path": "s3://no-such-bucket/sasam"})
    driver = start_driver(job, cluster, tmp_path / "log")
    assert driver.wait(timeout=120) == 1
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last.startswith("sasam: s3://no-such-bucket/sasam cannot be written: ")
    assert "NO_SUCH_BUCKET" in last
