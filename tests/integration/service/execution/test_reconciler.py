"""The reconciler, one pass at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mlflow.entities import Run

from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs, RayUnavailableError
from service.states import Command
from service.sweeps.selection import SweepSelection
from tests.support.reconciler_world import World
from workers.job import ENTRYPOINT, FINAL_EXITS, DriverJob
from workers.metrics import Outcome


def test_sweep_goes_from_queued_to_completed(world: World) -> None:
    sweep_id = world.submit()
    seen = []
    for status in (None, "PENDING", "RUNNING"):
        seen.append(world.show(sweep_id).state)
        if status == "RUNNING":
            world.ray.move(world.job(sweep_id), status)
        world.tick()
    assert seen == ["queued", "starting", "starting"]
    running = world.show(sweep_id)
    assert (running.state, running.attempt, running.reason) == ("running", 1, None)
    assert running.started_at is not None
    driver = world.run(sweep_id)
    driver.start()
    first, second = driver.specification.trials
    driver.start_trial(first)
    driver.end_trial(second, Outcome.DIVERGED, epoch=3, train_loss=2.5)
    world.tick()
    going, ended = world.trials(sweep_id)
    assert (going.status, ended.status) == ("running", "diverged")
    assert (ended.epoch, ended.metrics) == (3, {"train_loss": 2.5})
    assert (ended.attempt, ended.mlflow_run_id) == (1, driver.runs[second.key])
    assert ended.started_at <= ended.ended_at
    driver.end_trial(first, Outcome.COMPLETED, epoch=5, val_accuracy=0.75)
    driver.client.set_terminated(driver.parent, "FINISHED")
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    done = world.show(sweep_id)
    assert (done.state, done.reason) == ("completed", None)
    assert done.ended_at is not None
    assert (done.progress.completed, done.progress.diverged, done.progress.ended) == (1, 1, 2)
    assert done.links.mlflow.endswith(f"/runs/{driver.parent}")
    assert world.row(sweep_id).classes == 10
    assert len(world.ray.submissions) == 1
    world.tick(2)
    assert world.show(sweep_id) == done


def test_job_carries_the_specification_as_data(world: World) -> None:
    sweep_id = world.submit(tags={"note": "$(rm -rf /); `x` 'y' \"z\""})
    world.tick(2)
    (body,) = world.ray.submissions
    assert body["entrypoint"] == ENTRYPOINT
    assert body["submission_id"] == f"sweep-{sweep_id}-1"
    job = DriverJob.parse(body["runtime_env"]["env_vars"]["SASAM_JOB"])
    assert (job.sweep_id, job.attempt) == (sweep_id, 1)
    assert job.specification.model_dump(mode="json") == world.show(sweep_id).specification
    assert job.mlflow_tracking_uri == str(world.settings.mlflow_tracking_uri).rstrip("/")


def test_dead_driver_is_started_again_after_a_pause_that_doubles(world: World) -> None:
    sweep_id = world.submit()
    for attempt, pause in ((1, 1), (2, 2), (3, 4)):
        world.run(sweep_id)
        before = datetime.now(UTC)
        world.fail_driver(sweep_id, message="worker died\nkilled by signal 9")
        sweep = world.show(sweep_id)
        assert (sweep.state, sweep.attempt) == ("queued", attempt)
        assert sweep.reason == (
            f"driver {attempt} died (killed by signal 9); the next one starts in {pause} s"
        )
        due = world.row(sweep_id).not_before - before
        assert timedelta(seconds=pause) <= due < timedelta(seconds=pause + 5)
        world.tick()
        assert world.show(sweep_id).state == "queued"
    assert [body["submission_id"][-1] for body in world.ray.submissions] == ["1", "2", "3"]


def test_driver_that_dies_too_often_fails_the_sweep_and_leaves_no_run_open(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    driver.start_trial(driver.specification.trials[0])
    for attempt in range(1, world.settings.max_driver_attempts + 1):
        if attempt > 1:
            world.run(sweep_id)
        world.fail_driver(sweep_id, message="out of memory")
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.attempt) == ("failed", 5)
    assert sweep.reason == "the driver died 5 times without progress: out of memory"
    assert driver.status(driver.parent) == ("FAILED", None)
    (run_id,) = driver.runs.values()
    assert driver.status(run_id) == ("KILLED", "cancelled")
    assert [trial.status for trial in world.trials(sweep_id)] == ["cancelled", "pending"]


def test_progress_forgives_earlier_deaths(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    world.fail_driver(sweep_id)
    assert world.row(sweep_id).failures == 1
    world.run(sweep_id)
    driver.end_trial(driver.specification.trials[0], Outcome.COMPLETED)
    world.fail_driver(sweep_id)
    assert world.row(sweep_id).failures == 1
    world.run(sweep_id)
    world.fail_driver(sweep_id)
    assert world.row(sweep_id).failures == 2


def test_an_epoch_is_progress_and_a_trial_that_fails_again_is_not(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    long, bad = driver.specification.trials
    run_id = driver.start_trial(long)
    driver.end_trial(bad, Outcome.FAILED)
    for deaths, epoch in ((1, 1), (1, 2), (2, 2)):
        world.client.log_metric(run_id, "epoch", epoch, step=epoch)
        world.fail_driver(sweep_id)
        assert world.row(sweep_id).failures == deaths
        world.run(sweep_id)
    driver.attempt = world.show(sweep_id).attempt
    driver.end_trial(bad, Outcome.FAILED)
    world.fail_driver(sweep_id)
    assert world.row(sweep_id).failures == 3


def test_dead_driver_waits_for_consent_where_the_code_has_changed(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    world.hurry(sweep_id, code_version="0.0.9")
    world.fail_driver(sweep_id)
    world.run(sweep_id)  # nothing has ended yet
    driver.end_trial(driver.specification.trials[0], Outcome.COMPLETED)
    world.hurry(sweep_id, code_version="0.0.9")
    world.fail_driver(sweep_id)
    world.hurry(sweep_id)
    world.tick(2)
    paused = world.show(sweep_id)
    assert paused.state == "paused"
    assert (paused.reason or "").startswith("1 trial of this sweep has ended under sasam 0.0.9")
    assert paused.needs_force
    world.sweeps.command(sweep_id, Command.RESUME, accept_changes=True)
    assert world.run(sweep_id).attempt == 3


@pytest.mark.parametrize("exit_code", sorted(FINAL_EXITS))
@pytest.mark.parametrize("was_running", [False, True])
def test_driver_that_gives_up_fails_the_sweep_at_once_in_its_words(
    exit_code: int, was_running: bool, world: World
) -> None:
    sweep_id = world.submit()
    if was_running:
        driver = world.run(sweep_id)
        driver.start()
    else:
        world.tick(2)
    message = "Traceback\nsasam: model.name: too large (got vit)\nsasam: dataset: missing\nexit"
    world.fail_driver(sweep_id, exit_code=exit_code, message=message)
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.attempt) == ("failed", 1)
    assert sweep.reason == "model.name: too large (got vit); dataset: missing"
    assert not sweep.needs_force
    if was_running:
        assert driver.status(driver.parent) == ("FAILED", None)


@pytest.mark.parametrize(
    "line",
    ["ModuleNotFoundError: No module named 'ray'", "ImportError: libcuda.so", "SyntaxError: bad"],
)
def test_driver_that_an_installation_cannot_run_fails_the_sweep_at_once(
    line: str, world: World
) -> None:
    sweep_id = world.submit()
    world.tick(2)
    world.fail_driver(sweep_id, exit_code=1, message=f"Traceback (most recent call last):\n{line}")
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.attempt, sweep.reason) == ("failed", 1, line)


def test_driver_the_cluster_forgot_is_started_again(world: World) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    world.ray.jobs.clear()
    world.tick()
    sweep = world.show(sweep_id)
    assert sweep.state == "queued"
    assert "the Ray cluster does not know the driver" in sweep.reason


def test_driver_that_succeeded_without_all_results_fails_the_sweep(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    driver.start_trial(driver.specification.trials[0])
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    sweep = world.show(sweep_id)
    assert sweep.state == "failed"
    assert sweep.reason == "2 of 2 trials have no result in MLflow"
    assert driver.status(driver.parent)[0] == "FAILED"


def test_driver_that_ended_before_it_was_seen_running_completes(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    driver.end_all()
    other = world.submit()
    world.tick(2)
    world.ray.move(world.job(other), "SUCCEEDED", exit_code=0)
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick(2)
    assert world.show(sweep_id).state == "completed"
    assert world.show(other).state == "failed"  # it delivered nothing


@pytest.mark.parametrize("state", ["starting", "running", "pausing", "cancelling"])
def test_unavailable_ray_is_the_reason_until_it_answers(state: str, world: World) -> None:
    sweep_id = world.submit()
    world.run(sweep_id) if state == "running" else world.tick()
    if state in {"pausing", "cancelling"}:
        world.tick()
        world.command(sweep_id, Command.PAUSE if state == "pausing" else Command.CANCEL)
    world.ray.is_unavailable = True
    world.tick(2)
    sweep = world.show(sweep_id)
    assert sweep.state == state
    assert sweep.reason == "Ray does not answer at SASAM_RAY_ADDRESS"
    world.ray.is_unavailable = False
    world.ray.stops_at_once = False
    world.tick()
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.reason, sweep.attempt) == (state, None, 1)
    assert len(world.ray.submissions) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"', b'{"status": "NEW"}', b"{}"])
def test_other_server_than_ray_is_the_reason(body: bytes, world: World) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    world.ray.body = body
    world.tick()
    sweep = world.show(sweep_id)
    assert sweep.state == "running"
    assert "does not speak Ray's Jobs API" in sweep.reason
    with pytest.raises(RayUnavailableError, match="does not speak Ray's Jobs API"):
        RayJobs(world.settings).version()


def test_unavailable_mlflow_is_the_reason_until_it_answers(world: World, nowhere: str) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    world.ray.move(world.job(sweep_id), "FAILED")
    blind = world.reconcile_with(mlflow_tracking_uri=nowhere)
    blind.tick()
    sweep = world.show(sweep_id)
    assert sweep.state == "running"
    assert sweep.reason == "MLflow does not answer at SASAM_MLFLOW_TRACKING_URI"
    world.ray.move(world.job(sweep_id), "RUNNING")
    driver.start()
    world.tick()
    assert world.show(sweep_id).reason is None


def test_cancelled_sweep_waits_for_mlflow_only_if_it_has_runs(world: World, nowhere: str) -> None:
    started = world.submit()
    world.run(started)
    never = world.submit()
    for sweep_id in (started, never):
        world.command(sweep_id, Command.CANCEL)
    world.reconcile_with(mlflow_tracking_uri=nowhere).tick()
    assert world.show(never).state == "cancelled"
    assert world.show(started).state == "cancelling"
    world.tick()
    assert world.show(started).state == "cancelled"


def test_submit_whose_answer_was_lost_is_not_submitted_twice(world: World) -> None:
    sweep_id = world.submit()
    world.ray.answers_are_lost = True
    world.tick(3)
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.reason, sweep.attempt) == ("starting", None, 1)
    assert len(world.ray.submissions) == 1


def test_submission_that_ray_refuses_is_repeated(world: World) -> None:
    sweep_id = world.submit()
    world.tick()
    world.ray.is_unavailable = True
    world.tick(2)
    assert world.ray.submissions == []
    world.ray.is_unavailable = False
    world.tick()
    assert [body["submission_id"] for body in world.ray.submissions] == [f"sweep-{sweep_id}-1"]


def test_paused_sweep_stops_its_driver_and_resumes_with_the_next(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    driver.end_trial(driver.specification.trials[0], Outcome.COMPLETED)
    world.ray.stops_at_once = False
    world.command(sweep_id, Command.PAUSE)
    world.tick()
    assert world.ray.stops == [f"sweep-{sweep_id}-1"]
    assert world.show(sweep_id).state == "pausing"
    world.ray.move(world.job(sweep_id), "STOPPED")
    world.tick()
    paused = world.show(sweep_id)
    assert (paused.state, paused.progress.completed) == ("paused", 1)
    world.tick()
    assert len(world.ray.submissions) == 1
    world.command(sweep_id, Command.RESUME)
    world.run(sweep_id)
    assert world.show(sweep_id).attempt == 2


def test_sweep_that_ends_while_it_is_paused_is_completed(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    driver.end_all()
    world.command(sweep_id, Command.PAUSE)
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    assert world.show(sweep_id).state == "completed"


@pytest.mark.parametrize("was_synced", [False, True])
def test_cancelled_sweep_closes_the_runs_that_were_open(was_synced: bool, world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    done, open_trial = driver.specification.trials
    driver.end_trial(done, Outcome.COMPLETED, val_accuracy=0.5)
    driver.start_trial(open_trial)
    if was_synced:
        world.tick()
    world.command(sweep_id, Command.CANCEL)
    world.tick(2)
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.reason) == ("cancelled", None)
    assert [trial.status for trial in world.trials(sweep_id)] == ["completed", "cancelled"]
    assert driver.status(driver.parent)[0] == "KILLED"
    assert driver.status(driver.runs[open_trial.key]) == ("KILLED", "cancelled")
    assert driver.status(driver.runs[done.key]) == ("FINISHED", "completed")


def test_cancelled_run_of_an_earlier_driver_is_closed_too(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    driver.start_trial(driver.specification.trials[0])
    world.fail_driver(sweep_id)
    world.run(sweep_id)
    world.command(sweep_id, Command.CANCEL)
    world.tick(2)
    assert [trial.status for trial in world.trials(sweep_id)] == ["cancelled", "pending"]


def test_sweep_past_its_wall_clock_is_cancelled_and_says_so(world: World) -> None:
    sweep_id = world.submit(limits={"wall_clock": "2h"})
    world.run(sweep_id)
    world.tick()
    assert world.show(sweep_id).state == "running"
    world.hurry(sweep_id, started_at=datetime.now(UTC) - timedelta(hours=3))
    world.tick(3)
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.reason) == ("cancelled", "limits.wall_clock (2h) was exceeded")
    world.command(sweep_id, Command.RETRY_FAILED)
    world.run(sweep_id)
    world.tick()
    assert world.show(sweep_id).state == "running"


def test_wall_clock_stands_still_while_a_sweep_is_paused(world: World) -> None:
    sweep_id = world.submit(limits={"wall_clock": "2h"})
    world.run(sweep_id)
    world.command(sweep_id, Command.PAUSE)
    world.tick(2)
    assert world.show(sweep_id).state == "paused"
    world.hurry(sweep_id, started_at=datetime.now(UTC) - timedelta(hours=3))
    world.command(sweep_id, Command.RESUME)
    world.run(sweep_id)
    world.tick()
    assert world.show(sweep_id).state == "running"


def test_retried_trial_loses_its_failure_until_it_has_another_end(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    good, bad = driver.specification.trials
    driver.end_trial(good, Outcome.COMPLETED, val_accuracy=0.5)
    driver.end_trial(bad, Outcome.FAILED, epoch=2)
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    assert world.show(sweep_id).state == "completed"
    failed = world.trials(sweep_id)[1]
    assert (failed.status, failed.error, failed.epoch) == ("failed", "MemoryError: no memory", 2)
    world.command(sweep_id, Command.RETRY_FAILED)
    world.run(sweep_id)
    world.tick()  # MLflow still says that it failed
    assert [trial.status for trial in world.trials(sweep_id)] == ["completed", "pending"]
    driver.attempt = 2
    driver.start_trial(bad)
    world.tick()
    retried = world.trials(sweep_id)[1]
    assert (retried.status, retried.error, retried.attempt) == ("running", None, 2)
    driver.end_trial(bad, Outcome.COMPLETED, val_accuracy=0.25)
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    done = world.show(sweep_id)
    assert (done.state, done.progress.completed, done.progress.failed) == ("completed", 2, 0)


def test_result_that_reaches_mlflow_late_is_taken_in_at_the_end(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    early, late = driver.specification.trials
    now = int(datetime.now(UTC).timestamp() * 1000)
    driver.end_trial(late, Outcome.COMPLETED, time_ms=now)
    world.tick()
    driver.end_trial(early, Outcome.COMPLETED, time_ms=now - 60_000)
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    done = world.show(sweep_id)
    assert (done.state, done.progress.completed) == ("completed", 2)


def test_failed_trial_that_the_next_driver_completes_late_is_taken_in_at_the_end(
    world: World,
) -> None:
    """Its run has changed, but to an end before the latest one that was read."""
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    early, late = driver.specification.trials
    driver.end_trial(early, Outcome.FAILED)
    world.fail_driver(sweep_id)
    world.run(sweep_id)
    driver.attempt = 2
    now = int(datetime.now(UTC).timestamp() * 1000) + 60_000
    driver.end_trial(late, Outcome.COMPLETED, time_ms=now)
    world.tick()
    driver.end_trial(early, Outcome.COMPLETED, time_ms=now - 30_000)
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    done = world.show(sweep_id)
    assert (done.state, done.progress.completed) == ("completed", 2)


def test_result_that_reaches_mlflow_late_is_taken_in_while_the_sweep_runs(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    early, late = driver.specification.trials
    for trial in (early, late):
        driver.start_trial(trial)
    now = int(datetime.now(UTC).timestamp() * 1000)
    driver.end_trial(late, Outcome.COMPLETED, time_ms=now)
    world.tick()
    driver.end_trial(early, Outcome.COMPLETED, time_ms=now - 60_000)
    world.tick()
    running = world.show(sweep_id)
    assert (running.state, running.progress.completed) == ("running", 2)
    assert world.row(sweep_id).synced_at == datetime.fromtimestamp(now / 1000, UTC)


@pytest.mark.parametrize("is_created_before", [True, False])
def test_result_that_reaches_mlflow_while_a_pass_reads_is_taken_in_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, is_created_before: bool
) -> None:
    """A pass makes two requests; between them a trial ends before the latest end known."""
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    early, late = driver.specification.trials
    now = int(datetime.now(UTC).timestamp() * 1000) + 60_000
    search = MlflowGateway._search
    requests = 0

    def disturbed(self: MlflowGateway, *options: Any) -> Iterator[Run]:
        nonlocal requests
        yield from search(self, *options)
        requests += 1
        if requests == 1 and is_created_before:
            driver.end_trial(early, Outcome.COMPLETED, time_ms=now - 30_000)
        elif requests == 1:
            driver.start_trial(early)
            driver.end_trial(late, Outcome.COMPLETED, time_ms=now)

    world.tick(2)
    if is_created_before:
        driver.start_trial(early)
        driver.end_trial(late, Outcome.COMPLETED, time_ms=now)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowGateway, "_search", disturbed)
        world.tick()
    assert requests >= 2
    if not is_created_before:
        driver.end_trial(early, Outcome.COMPLETED, time_ms=now - 30_000)
    world.tick()
    assert world.show(sweep_id).progress.completed == 2


def test_result_that_the_last_pass_read_is_not_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    early, late = driver.specification.trials
    driver.end_trial(early, Outcome.COMPLETED)
    world.tick(2)
    driver.end_trial(late, Outcome.COMPLETED)
    search = MlflowGateway._search
    found = []

    def noted(self: MlflowGateway, *options: Any) -> Iterator[Run]:
        for run in search(self, *options):
            found.append(run.info.run_id)
            yield run

    monkeypatch.setattr(MlflowGateway, "_search", noted)
    world.tick()
    assert set(found) & set(driver.runs.values()) == {driver.runs[late.key]}
    assert world.show(sweep_id).progress.completed == 2


def test_more_results_than_a_search_leaves_out_are_all_taken_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.external.mlflow_gateway._MAX_LEFT_OUT", 1)
    sweep_id = world.submit(optimizers=["sam", "msgd", "adam"])
    driver = world.run(sweep_id)
    driver.start()
    *both, last = driver.specification.trials
    for trial in both:
        driver.end_trial(trial, Outcome.COMPLETED)
    world.tick(2)
    driver.end_trial(last, Outcome.COMPLETED)
    world.tick()
    assert world.show(sweep_id).progress.completed == 3


def test_failed_trial_that_is_repeated_between_two_passes_is_read_again(world: World) -> None:
    sweep_id = world.submit(optimizers=["sam", "msgd", "adam"])
    driver = world.run(sweep_id)
    driver.start()
    first, repeated, other = driver.specification.trials
    now = int(datetime.now(UTC).timestamp() * 1000)
    driver.end_trial(first, Outcome.COMPLETED, time_ms=now - 60_000)
    world.tick(2)
    driver.end_trial(repeated, Outcome.FAILED, time_ms=now - 50_000)
    driver.end_trial(other, Outcome.COMPLETED, time_ms=now)
    world.tick()
    assert world.show(sweep_id).progress.failed == 1
    driver.end_trial(repeated, Outcome.COMPLETED, time_ms=now - 30_000)  # by a slower clock
    world.tick()
    assert world.show(sweep_id).progress.completed == 3


def test_metrics_that_are_no_numbers_are_left_out(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    first, second = driver.specification.trials
    driver.end_trial(first, Outcome.DIVERGED, train_loss=float("nan"), val_loss=0.5)
    driver.end_trial(second, Outcome.DIVERGED, train_loss=float("inf"), epoch=float("nan"))
    world.tick()
    assert [trial.metrics for trial in world.trials(sweep_id)] == [{"val_loss": 0.5}, {}]
    assert [trial.epoch for trial in world.trials(sweep_id)] == [0, 0]


def test_sweep_of_another_name_and_id_is_not_mixed_in(world: World) -> None:
    first = world.submit(name="Shared name")
    second = world.submit(name="Shared name")
    world.tick()
    mine, other = world.run(first), world.run(second)
    mine.start()
    other.start()
    mine.end_all(Outcome.COMPLETED)
    other.end_trial(other.specification.trials[0], Outcome.DIVERGED)
    world.tick()
    assert {trial.status for trial in world.trials(first)} == {"completed"}
    assert [trial.status for trial in world.trials(second)] == ["diverged", "pending"]


def test_limit_holds_and_the_queue_is_served_by_priority_then_age(world: World) -> None:
    early = world.submit()
    late = world.submit()
    urgent = world.submit(priority=5)
    world.tick(2)
    states = [world.show(sweep_id).state for sweep_id in (urgent, early, late)]
    assert states == ["starting", "starting", "queued"]
    world.command(urgent, Command.PAUSE)
    world.tick(4)
    states = [world.show(sweep_id).state for sweep_id in (urgent, early, late)]
    assert states == ["paused", "starting", "starting"]
    world.command(urgent, Command.RESUME)
    world.tick()
    assert world.show(urgent).state == "queued"


def test_sweep_that_waits_for_its_next_driver_leaves_its_place_to_another(world: World) -> None:
    first, second, third = world.submit(), world.submit(), world.submit()
    world.run(first)
    world.run(second)
    world.fail_driver(first)
    world.tick()
    assert [world.show(s).state for s in (first, second, third)] == [
        "queued",
        "running",
        "starting",
    ]


def test_sweep_deleted_during_a_pass_stays_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    find = world.results.trial_runs

    def delete_first(*args: Any, **options: Any) -> Any:
        if world.show(sweep_id).state == "running":
            world.command(sweep_id, Command.CANCEL)
            world.reconcile_with().tick()  # another replica stops the driver ...
            world.reconcile_with().tick()  # ... and ends the sweep
            world.sweeps.delete(sweep_id)
        return find(*args, **options)

    monkeypatch.setattr(world.results, "trial_runs", delete_first)
    world.tick()
    assert world.sweeps.page(SweepSelection(), cursor=None, limit=5).sweeps == []


def test_defect_of_one_sweep_does_not_hold_up_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = world.submit(priority=1), world.submit()
    world.tick()
    world.hurry(broken, specification={"name": "no longer valid"})
    with caplog.at_level(logging.ERROR):
        world.tick()
    assert [body["metadata"]["sweep"] for body in world.ray.submissions] == [sound]
    assert f"sweep {broken}: the step failed" in caplog.text
    assert (world.show(broken).reason or "").startswith("the service failed on it and tries again")
    caplog.clear()
    world.tick()
    assert "Traceback" not in caplog.text  # once is enough


def test_loop_continues_after_a_failed_pass(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen = threading.Event()
    calls = []

    def tick() -> None:
        calls.append(None)
        if len(calls) == 1:
            raise RuntimeError("disk full")
        seen.set()

    reconciler = world.reconcile_with()
    monkeypatch.setattr(
        reconciler, "_settings", world.settings.model_copy(update={"reconcile_seconds": 0.001})
    )
    monkeypatch.setattr(reconciler, "tick", tick)
    reconciler.start()
    assert seen.wait(30)
    reconciler.stop()
    assert "disk full" in caplog.text


def test_pass_after_a_change_of_state_does_not_wait(world: World) -> None:
    sweep_id = world.submit()
    reconciler = world.reconcile_with(reconcile_seconds=3600)
    reconciler.start()
    reconciler._wake.set()  # the pass that claims the sweep; the next one launches its driver
    deadline = time.monotonic() + 30
    while not world.ray.jobs and time.monotonic() < deadline:
        time.sleep(0.05)
    reconciler.stop()
    assert world.show(sweep_id).state == "starting"
    assert len(world.ray.jobs) == 1


def test_token_is_sent_and_read_again_each_time(world: World, tmp_path: Any) -> None:
    path = tmp_path / "token"
    jobs = RayJobs(world.settings.model_copy(update={"ray_token_path": path}))
    with pytest.raises(RayUnavailableError, match="Ray's token cannot be read"):
        jobs.version()
    for token in ("first", "second"):
        path.write_text(f"{token}\n")
        assert jobs._headers() == {"Authorization": f"Bearer {token}"}
        assert jobs.version() == "2.60.0"
    jobs.close()
