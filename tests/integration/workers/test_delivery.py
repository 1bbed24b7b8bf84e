"""What a journal becomes in a real MLflow server, whatever happens on the way."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import ViewType

from tests.support.driver_jobs import (
    artifact,
    artifact_json,
    deliver,
    histories,
    runs_of,
    trial_runs,
)
from tests.support.mlflow_server import serve_mlflow
from workers import delivery, mlflow_runs
from workers.delivery import MlflowWriter
from workers.metrics import Outcome
from workers.mlflow_schema import Tag
from workers.trial_sources import remaining_trials

TRACEBACK = (
    'Traceback (most recent call last):\n  File "train.py", line 1, in step\nValueError: no \0 way'
)
IDS_OF_A_RUN = {"run_id", "run_uuid", "experiment_id", "artifact_uri"}
MATRIX = {"brightness": [0.5, 0.25], "contrast": [0.75, 0.5]}


def record_start(journal, key, attempt=1):
    journal.append("trial_started", key, attempt=attempt)


def record_epochs(journal, key, *epochs):
    for epoch in epochs:
        values = {"train_loss": 1 / epoch, "val_accuracy": 0.1 * epoch}
        journal.append("epoch", key, epoch=epoch, metrics=values)


def record_sweep(journal, job):
    """A whole sweep: one trial of each outcome that a driver records, two epochs each."""
    completed, diverged, failed, pruned = (trial.key for trial in job.specification.trials)
    journal.append("sweep_started", tags={"sasam.classes": "10"})
    for key in (completed, diverged, failed, pruned):
        record_start(journal, key)
        record_epochs(journal, key, 1, 2)
    end = "trial_ended"
    journal.append(end, completed, outcome=Outcome.COMPLETED, epoch=2, ood_matrix=MATRIX)
    journal.append(end, diverged, outcome=Outcome.DIVERGED, epoch=2)
    journal.append(end, failed, outcome=Outcome.FAILED, epoch=2, traceback=TRACEBACK)
    journal.append(end, pruned, outcome=Outcome.PRUNED, epoch=2)
    journal.append("sweep_ended", status="FINISHED")
    return completed, diverged, failed, pruned


@pytest.fixture
def requests_sent(monkeypatch):
    """Count the requests to each path."""
    counted: Counter[str] = Counter()
    send = requests.Session.send

    def counting(self, request, **options):
        counted[request.url.partition("?")[0].rpartition("/")[2]] += 1
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", counting)
    return counted


@pytest.fixture
def without_finished_runs(monkeypatch):
    """The server does not know the route for finished runs, as MLflow's own."""
    send = requests.Session.send

    def elsewhere(self, request, **options):
        if request.url.partition("?")[0].endswith("finished-runs"):
            request.url += "/unknown"
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", elsewhere)


def everything(client, job):
    """All that MLflow has of a sweep, deleted runs too."""
    return sorted(
        (
            run.info.run_id,
            run.info.status,
            run.info.lifecycle_stage,
            run.info.start_time,
            run.info.end_time,
            sorted(run.data.tags.items()),
            sorted(run.data.params.items()),
            sorted(histories(client, run).items()),
        )
        for run in runs_of(client, job, ViewType.ALL)
    )


def test_deliver_sweep_has_all_that_happened(client, make_job, open_journal, tmp_path):
    job = make_job()
    journal = open_journal(job)
    completed, diverged, failed, pruned = record_sweep(journal, job)
    folder = journal.path.parent / "checkpoints" / failed
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("what it said\n")
    deliver(job, journal)

    runs = trial_runs(client, job)
    (parent,) = (run for run in runs_of(client, job) if run.data.tags["sasam.kind"] == "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["sasam.classes"] == "10"
    assert parent.data.tags["sasam.attempt"] == "1"
    assert artifact_json(client, parent, "specification.json", tmp_path) == (
        job.specification.model_dump(mode="json")
    )
    starts = {e.trial: e.time_ms for e in journal.read(0, limit=100)[0] if e.kind[6:] == "started"}
    for position, trial in enumerate(job.specification.trials):
        run = runs[trial.key]
        assert run.info.start_time == starts[trial.key]
        assert run.data.params == {name: str(value) for name, value in trial.describe().items()}
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["sasam.position"] == str(position)
        assert run.data.tags["sasam.version.test"] == "1"
        assert run.data.tags["owner"] == "vision"
        assert histories(client, run) == {
            "epoch": [(1, 1), (2, 2)],
            "train_loss": [(1, 1), (2, 0.5)],
            "val_accuracy": [(1, 0.1), (2, 0.2)],
        }
    ends = {key: (run.info.status, run.data.tags["sasam.outcome"]) for key, run in runs.items()}
    assert ends == {
        completed: ("FINISHED", "completed"),
        diverged: ("FINISHED", "diverged"),
        failed: ("FAILED", "failed"),
        pruned: ("FINISHED", "pruned"),
    }
    assert artifact_json(client, runs[completed], "ood_matrix.json", tmp_path) == MATRIX
    assert artifact(client, runs[failed], "traceback.txt", tmp_path) == TRACEBACK
    assert artifact(client, runs[failed], "log.txt", tmp_path) == "what it said\n"
    assert runs[failed].data.tags["sasam.failure"] == "error"
    assert runs[failed].data.tags["sasam.error"] == "ValueError: no  way"
    assert runs[diverged].data.tags["sasam.diverged_epoch"] == "2"
    assert "sasam.diverged_epoch" not in runs[completed].data.tags


def test_deliver_twice_changes_nothing(client, make_job, open_journal):
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    deliver(job, journal)
    before = everything(client, job)
    offset = journal.path.with_suffix(".delivered")
    assert int(offset.read_text()) == journal.end
    for damaged in (None, "", "garbage", str(journal.end + 1)):
        if damaged is None:
            offset.unlink()
        else:
            offset.write_text(damaged)
        deliver(job, journal)
        assert everything(client, job) == before


def test_deliver_costs_few_requests(make_job, open_journal, requests_sent):
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    deliver(job, journal)
    # An artifact of the sweep costs two, as MLflow's client asks where it goes.
    assert requests_sent.pop("get") <= 4
    assert requests_sent == {
        "get-by-name": 1,
        "create": 1 + 1,
        "search": 1,
        "update": 1 + 1,  # the sweep's is marked as running first
        "log-batch": 2,
        "specification.json": 1,
        "finished-runs": 1,  # all trials
    }


def test_deliver_leaves_the_same_in_a_server_without_the_route_for_finished_runs(
    client, make_job, open_journal, tmp_path
):
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    deliver(job, journal)
    with serve_mlflow(tmp_path, app=None) as plain:
        elsewhere = job.model_copy(update={"mlflow_tracking_uri": plain.uri})
        journal.path.with_suffix(".delivered").unlink()
        deliver(elsewhere, journal)
        other = MlflowClient(plain.uri)
        assert content(other, elsewhere) == content(client, job)


def test_deliver_ends_runs_in_the_order_in_which_their_trials_ended(
    client, make_job, open_journal, monkeypatch, without_finished_runs
):
    """A sync reads what has ended since the latest end that it knows."""
    job = make_job()
    journal = open_journal(job)
    first, second, *_ = (trial.key for trial in job.specification.trials)
    for key in (first, second):
        record_start(journal, key)
    for key in (second, first):
        journal.append("trial_ended", key, outcome=Outcome.COMPLETED, epoch=0)
    ended, end = [], mlflow_runs.SweepRuns.end

    def ending(self, run_id, status, time_ms):
        ended.append(run_id)
        end(self, run_id, status, time_ms)

    monkeypatch.setattr(mlflow_runs.SweepRuns, "end", ending)
    deliver(job, journal)
    runs = trial_runs(client, job)
    assert ended == [runs[key].info.run_id for key in (second, first)]


def content(client, job):
    """All that MLflow has of the trials of a sweep, by their keys, except ids."""
    found = {}
    for key, run in trial_runs(client, job).items():
        info = {name: value for name, value in dict(run.info).items() if name not in IDS_OF_A_RUN}
        tags = {name: v for name, v in run.data.tags.items() if name != "mlflow.parentRunId"}
        files = [file.path for file in client.list_artifacts(run.info.run_id)]
        found[key] = (
            *(info, tags, run.data.params, run.data.metrics, histories(client, run), files),
            run.info.artifact_uri.endswith(f"/{run.info.run_id}/artifacts"),
        )
    return found


def test_deliver_restarted_trial_is_the_same_run(client, make_job, open_journal):
    first = make_job()
    journal = open_journal(first)
    key = first.specification.trials[0].key
    record_start(journal, key)
    record_epochs(journal, key, 1)
    journal.append("trial_ended", key, outcome=Outcome.FAILED, epoch=1, traceback=TRACEBACK)
    journal.append("sweep_ended", status="FAILED")
    deliver(first, journal)
    failed = trial_runs(client, first)[key]

    second = make_job(attempt=2)
    record_start(journal, key, attempt=2)
    record_epochs(journal, key, 2)
    deliver(second, journal)
    running = trial_runs(client, second)[key]
    assert running.info.run_id == failed.info.run_id
    assert running.info.status == "RUNNING"
    assert running.data.tags["sasam.attempt"] == "2"
    assert running.data.tags["sasam.outcome"] == ""

    journal.append("trial_ended", key, outcome=Outcome.COMPLETED, epoch=2)
    deliver(second, journal)
    ended = trial_runs(client, second)[key]
    assert ended.info.status == "FINISHED"
    assert ended.data.tags["sasam.outcome"] == "completed"
    assert ended.data.tags["sasam.error"] == ""
    assert histories(client, ended)["epoch"] == [(1, 1), (2, 2)]


def test_deliver_end_and_new_start_at_once_leaves_the_run_running(client, make_job, open_journal):
    job = make_job()
    journal = open_journal(job)
    key = job.specification.trials[0].key
    record_start(journal, key)
    journal.append("trial_ended", key, outcome=Outcome.FAILED, epoch=0, traceback="")
    record_start(journal, key, attempt=2)
    deliver(job, journal)
    run = trial_runs(client, job)[key]
    assert run.info.status == "RUNNING"
    assert run.data.tags["sasam.attempt"] == "2"


def test_deliver_long_history_fits_the_limits_of_a_call(client, make_job, open_journal):
    job = make_job()
    journal = open_journal(job)
    key = job.specification.trials[0].key
    record_start(journal, key)
    record_epochs(journal, key, *range(1, 451))  # 1,350 metrics and 40 params
    deliver(job, journal)
    run = trial_runs(client, job)[key]
    assert len(run.data.params) == len(job.specification.trials[0].describe())
    assert histories(client, run)["epoch"] == [(epoch, epoch) for epoch in range(1, 451)]


def test_deliver_refused_values_are_left_out_alone(client, make_job, open_journal, caplog):
    job = make_job()
    journal = open_journal(job)
    key, other, *_ = (trial.key for trial in job.specification.trials)
    journal.append("sweep_started", tags={"sasam.a=b": "refused", "sasam.classes": "10"})
    record_start(journal, key)
    journal.append("epoch", key, epoch=1, metrics={"train_loss": 1.0, "a=b": 2.0, "ood_loss": 3.0})
    journal.append("trial_ended", key, outcome=Outcome.COMPLETED, epoch=1)
    record_start(journal, other)
    record_epochs(journal, other, 1)
    journal.append("trial_started", "unknown", attempt=1)
    journal.append("sweep_ended", status="FINISHED")
    deliver(job, journal)
    runs = trial_runs(client, job)
    assert runs[key].data.metrics == {"epoch": 1, "train_loss": 1, "ood_loss": 3}
    assert runs[key].info.status == "FINISHED"
    assert len(runs[key].data.params) == len(job.specification.trials[0].describe())
    assert histories(client, runs[other])["epoch"] == [(1, 1)]
    (parent,) = (run for run in runs_of(client, job) if run.data.tags["sasam.kind"] == "sweep")
    assert parent.data.tags["sasam.classes"] == "10"
    warnings = [r.getMessage() for r in caplog.records if r.name.startswith("workers.")]
    assert len(warnings) == 3  # the tag, the metric, the unknown trial


def test_deliver_refused_artifact_is_left_out_alone(
    client, make_job, open_journal, without_finished_runs, monkeypatch, caplog
):
    """The store of artifacts refuses, as one without permissions or space does."""
    job = make_job()
    journal = open_journal(job)
    completed, *_ = record_sweep(journal, job)
    send = requests.Session.send

    def refusing(self, request, **options):
        if request.url.endswith("ood_matrix.json"):
            request.url += "/../%2e%2e"  # the server answers 400
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", refusing)
    deliver(job, journal)
    run = trial_runs(client, job)[completed]
    assert run.info.status == "FINISHED"
    assert len(trial_runs(client, job)) == 4
    assert "the artifact ood_matrix.json" in caplog.text


@pytest.fixture
def failing_store(monkeypatch):
    """The store of artifacts does not answer the first so many times."""
    monkeypatch.setattr(delivery, "_FIRST_BACKOFF_SECONDS", 0.01)
    send, state = requests.Session.send, {"failures": 0}

    def failing(self, request, **options):
        answer = send(self, request, **options)
        if "mlflow-artifacts" in request.url and state["failures"]:
            state["failures"] -= 1
            answer.status_code = 503
        return answer

    monkeypatch.setattr(requests.Session, "send", failing)
    return state


def test_deliver_waits_for_an_unavailable_artifact_store(
    client, make_job, open_journal, failing_store, tmp_path
):
    job = make_job()
    journal = open_journal(job)
    completed, *_ = record_sweep(journal, job)
    failing_store["failures"] = 6  # more than one try and another
    deliver(job, journal)
    run = trial_runs(client, job)[completed]
    assert artifact_json(client, run, "ood_matrix.json", tmp_path) == MATRIX
    assert not failing_store["failures"]


def test_deliver_continues_without_an_unavailable_artifact_store(
    client, make_job, open_journal, failing_store, monkeypatch, caplog
):
    monkeypatch.setattr(mlflow_runs, "_ARTIFACT_TIMEOUT_SECONDS", 0.3)
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    failing_store["failures"] = 1_000_000
    deliver(job, journal)
    assert len(trial_runs(client, job)) == 4
    assert {run.info.status for run in runs_of(client, job)} == {"FINISHED", "FAILED"}
    assert "the artifact ood_matrix.json" in caplog.text


def test_deliver_begins_anew_in_a_new_run_though_it_dies_on_the_way(
    client, make_job, open_journal, monkeypatch
):
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    journal.path.with_suffix(".delivered").write_text(str(journal.end))
    journal.append("sweep_started", tags={})  # into an MLflow that has lost everything

    class Died(BaseException):
        pass

    def die(trials):
        raise Died

    writer = MlflowWriter(job, journal, {})
    monkeypatch.setattr(writer._runs, "create_finished", die)
    with pytest.raises(Died):
        writer._deliver_next()
    deliver(job, journal)
    assert len(trial_runs(client, job)) == 4


def test_recover_fills_a_lost_journal_and_nothing_is_delivered_twice(
    client, make_job, open_journal, tmp_path, monkeypatch
):
    job = make_job()
    journal = open_journal(job)
    completed, diverged, failed, pruned = record_sweep(journal, job)
    journal.append("sweep_started", tags={Tag.DATA_FINGERPRINT: "0123456789abcdef"})
    journal.append("sweep_ended", status="FINISHED")
    deliver(job, journal)
    before = everything(client, job)
    assert len(before) == 1 + 4
    new = str(tmp_path / "new")
    moved = job.model_copy(update={"storage_path": new, "scratch_path": new, "attempt": 2})
    lost = open_journal(moved)
    with monkeypatch.context() as patch:  # it dies when it has written all, before it notes so
        patch.setattr(MlflowWriter, "_save_offset", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            MlflowWriter(moved, lost, {}).recover()
    assert not lost.is_started, "or the next one would deliver all of it again"
    MlflowWriter(moved, lost, {}).recover()
    assert lost.is_started
    assert lost.outcomes == {
        **{completed: Outcome.COMPLETED, diverged: Outcome.DIVERGED, pruned: Outcome.PRUNED}
    }
    assert lost.epochs == dict.fromkeys((completed, diverged, failed, pruned), 2)
    assert lost.metrics[completed] == journal.metrics[completed]
    writer = MlflowWriter(moved, lost, {})
    writer.start()
    writer.close()
    after = everything(client, job)
    assert [run for run in after if ("sasam.kind", "trial") in run[5]] == [
        run for run in before if ("sasam.kind", "trial") in run[5]
    ]
    assert [run[0] for run in after] == [run[0] for run in before]


def test_recover_keeps_a_suggestion_whose_trial_started_before_an_earlier_one(
    client, make_job, open_journal, tmp_path
):
    job = make_job(optimizers=["msgd"], search={"type": "tpe", "trials": 4}, seeds=[0])
    journal = open_journal(job)
    source = remaining_trials(job.specification, journal, 0.1)
    trials = [source.take() for _ in range(3)]
    for started in (0, 2):  # the driver and its disk are lost before the second starts
        record_start(journal, trials[started].key)
        record_epochs(journal, trials[started].key, 1)
    deliver(job, journal)
    new = str(tmp_path / "new")
    moved = job.model_copy(update={"storage_path": new, "scratch_path": new, "attempt": 2})
    lost = open_journal(moved)
    MlflowWriter(moved, lost, {}).recover()
    assert lost.suggestions == [journal.suggestions[0], journal.suggestions[2]]
    source = remaining_trials(job.specification, lost, 0.1)
    left = [source.take().key for _ in range(source.left)]
    assert sorted(suggestion.number for suggestion in lost.suggestions) == [0, 1, 2, 3]
    assert len(set(left)) == 4
    assert trial_runs(client, job).keys() <= set(left)


def test_deliver_to_runs_that_a_user_deleted_restores_them(client, make_job, open_journal):
    job = make_job()
    journal = open_journal(job)
    key, ended, *_ = (trial.key for trial in job.specification.trials)
    writer = MlflowWriter(job, journal, {})
    writer.start()
    for each in (key, ended):
        record_start(journal, each)
        record_epochs(journal, each, 1)
    journal.append("trial_ended", ended, outcome=Outcome.COMPLETED, epoch=1)
    await_delivery(journal)
    runs = trial_runs(client, job)
    for run in runs.values():
        client.delete_run(run.info.run_id)
    record_epochs(journal, key, 2)
    writer.close()
    (again,) = trial_runs(client, job).items()  # what has ended stays deleted
    assert again[0] == key
    assert again[1].info.run_id == runs[key].info.run_id
    assert histories(client, again[1])["epoch"] == [(1, 1), (2, 2)]


def test_deliver_to_an_experiment_that_a_user_deleted_restores_it(client, make_job, open_journal):
    job = make_job()
    journal = open_journal(job)
    key = job.specification.trials[0].key
    writer = MlflowWriter(job, journal, {})
    writer.start()
    record_start(journal, key)
    record_epochs(journal, key, 1)
    await_delivery(journal)
    experiment = client.get_experiment_by_name(job.specification.name)
    client.delete_experiment(experiment.experiment_id)
    record_epochs(journal, key, 2)
    journal.append("sweep_ended", status="FINISHED")
    writer.close()
    assert client.get_experiment(experiment.experiment_id).lifecycle_stage == "active"
    assert histories(client, trial_runs(client, job)[key])["epoch"] == [(1, 1), (2, 2)]


def test_deliver_into_an_empty_mlflow_starts_from_the_beginning(client, make_job, open_journal):
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    journal.path.with_suffix(".delivered").write_text(str(journal.end))
    journal.append("sweep_started", tags={})
    deliver(job, journal)
    for run in trial_runs(client, job).values():
        assert histories(client, run)["epoch"] == [(1, 1), (2, 2)]


def test_deliver_after_the_experiment_was_renamed_starts_from_the_beginning(
    client, make_job, open_journal
):
    """The runs exist under the other name, where the sweep no longer looks for them."""
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    deliver(job, journal)
    before = runs_of(client, job)
    client.rename_experiment(before[0].info.experiment_id, f"{job.specification.name} (old)")
    journal.append("sweep_ended", status="FINISHED")
    deliver(job, journal)
    after = runs_of(client, job)
    assert len(after) == len(before)
    assert not {run.info.run_id for run in after} & {run.info.run_id for run in before}


def test_deliver_creates_a_run_in_place_of_one_whose_tags_a_user_removed(
    client, make_job, open_journal, requests_sent
):
    """A search does not find it, but it has the id that a run of its trial gets."""
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    deliver(job, journal)
    before = trial_runs(client, job)
    lost = before.pop(job.specification.trials[0].key)
    client.delete_tag(lost.info.run_id, "sasam.sweep")
    requests_sent.clear()
    journal.path.with_suffix(".delivered").unlink()
    deliver(job, journal)
    assert requests_sent["finished-runs"] == 2
    after = trial_runs(client, job)
    assert after.pop(job.specification.trials[0].key).info.run_id != lost.info.run_id
    assert {key: run.info.run_id for key, run in after.items()} == {
        key: run.info.run_id for key, run in before.items()
    }


def test_deliver_second_run_of_a_trial_is_deleted(client, make_job, open_journal):
    """A create whose answer was lost, carried out by the server after the driver had looked."""
    job = make_job()
    journal = open_journal(job)
    key = job.specification.trials[0].key
    record_start(journal, key)
    record_epochs(journal, key, 1)
    deliver(job, journal)
    run = trial_runs(client, job)[key]
    for start_time in (run.info.start_time - 1, run.info.start_time + 1):
        client.create_run(run.info.experiment_id, start_time, run.data.tags)
    record_epochs(journal, key, 2)
    deliver(job, journal)
    assert trial_runs(client, job)[key].info.run_id == run.info.run_id
    assert histories(client, trial_runs(client, job)[key])["epoch"] == [(1, 1), (2, 2)]


def test_deliver_two_sweeps_of_one_name_share_an_experiment(client, make_job, open_journal):
    jobs = [make_job(sweep_id=name) for name in ("one", "two")]
    journals = [open_journal(job) for job in jobs]
    barrier = threading.Barrier(2)
    for job, journal in zip(jobs, journals, strict=True):
        record_sweep(journal, job)

    def deliver_together(job, journal):
        barrier.wait()
        deliver(job, journal)

    threads = [
        threading.Thread(target=deliver_together, args=pair)
        for pair in zip(jobs, journals, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, two = (trial_runs(client, job) for job in jobs)
    assert one.keys() == two.keys()
    assert len(one) == 4
    assert {run.info.experiment_id for run in [*one.values(), *two.values()]} == {
        client.get_experiment_by_name(jobs[0].specification.name).experiment_id
    }
    assert not {run.info.run_id for run in one.values()} & {run.info.run_id for run in two.values()}


@pytest.mark.parametrize(
    ("route", "nth"), [("runs/create", 3), ("finished-runs", 1)], ids=["one-run", "finished-runs"]
)
def test_death_of_the_server_loses_and_repeats_nothing(
    mlflow_server, client, make_job, open_journal, request, monkeypatch, caplog, route, nth
):
    """The server is killed after it carried out a create, before it could answer."""
    if route == "runs/create":
        request.getfixturevalue("without_finished_runs")
    monkeypatch.setattr(delivery, "_FIRST_BACKOFF_SECONDS", 0.1)
    job = make_job()
    journal = open_journal(job)
    record_sweep(journal, job)
    send = requests.Session.send
    creates = 0

    def killing(self, request, **options):
        nonlocal creates
        answer = send(self, request, **options)
        creates += request.url.partition("?")[0].endswith(route)
        if creates == nth:
            creates += 1
            mlflow_server.kill()
            mlflow_server.start()
            raise requests.ConnectionError("reset by peer")
        return answer

    monkeypatch.setattr(requests.Session, "send", killing)
    deliver(job, journal)
    assert creates == nth + (3 if route == "runs/create" else 1)  # what was made was found again
    assert "next try in" in caplog.text
    runs = trial_runs(client, job)
    assert len(runs) == 4
    assert len(runs_of(client, job, ViewType.ALL)) == 5
    for trial in job.specification.trials:
        run = runs[trial.key]
        assert run.info.status in ("FINISHED", "FAILED")
        assert len(run.data.params) == len(trial.describe())
        assert histories(client, run)["train_loss"] == [(1, 1), (2, 0.5)]


def await_delivery(journal):
    """Wait until everything that is journalled is delivered."""
    delivered = journal.path.with_suffix(".delivered")
    done = threading.Event()
    for _ in range(600):
        if delivered.exists() and int(delivered.read_text()) == journal.end:
            return
        done.wait(0.05)
    raise AssertionError("never delivered")
