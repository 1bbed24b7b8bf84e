"""Orphaned drivers, and logs of drivers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, event

from service.execution.driver_logs import DriverLogs
from service.external.ray_jobs import RayJobs, RayUnavailableError
from service.states import Command
from tests.support.reconciler_world import World
from workers.metrics import Outcome


@pytest.fixture
def logs(world: World) -> DriverLogs:
    return DriverLogs(world.database, RayJobs(world.settings))


def test_driver_that_appears_after_its_sweep_was_cancelled_is_stopped(world: World) -> None:
    sweep_id = world.submit()
    world.tick()
    world.command(sweep_id, Command.CANCEL)  # the submission is on its way, Ray does not know it
    world.tick()
    assert world.show(sweep_id).state == "cancelled"
    name = f"sweep-{sweep_id}-1"
    world.ray.move(name, "RUNNING")
    world.clean()
    assert world.ray.stops == [name]


def test_what_a_late_driver_left_in_mlflow_is_closed(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    trial, other = driver.specification.trials
    world.command(sweep_id, Command.CANCEL)
    name = world.job(sweep_id)
    job = world.ray.jobs.pop(name)
    world.tick()
    assert world.show(sweep_id).state == "cancelled"
    world.ray.jobs[name] = job  # it was there all the time
    driver.client.update_run(driver.parent, status="RUNNING")
    driver.start_trial(trial)
    driver.end_trial(other, Outcome.COMPLETED, epoch=1)
    world.clean()
    assert world.ray.stops == [name]
    world.clean()
    assert driver.status(driver.parent)[0] == "KILLED"
    assert driver.status(driver.runs[trial.key]) == ("KILLED", "cancelled")
    assert [trial.status for trial in world.trials(sweep_id)] == ["cancelled", "completed"]
    row = world.row(sweep_id)
    assert (row.state, row.ended_at) == ("cancelled", world.ended_at(name))
    world.clean()
    assert world.row(sweep_id).ended_at == row.ended_at


def test_driver_of_an_earlier_attempt_is_stopped_and_the_latest_is_not(world: World) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    first = world.job(sweep_id)
    lost = world.ray.jobs.pop(first)
    world.tick()
    world.run(sweep_id)
    world.ray.jobs[first] = lost
    world.clean()
    assert world.ray.stops == [first]
    assert world.show(sweep_id).state == "running"


def test_housekeeping_asks_once_for_the_sweeps_of_all_drivers(world: World) -> None:
    begun: list[Connection] = []

    @event.listens_for(world.database.engine, "begin")
    def note(connection: Connection) -> None:
        begun.append(connection)

    def count_transactions() -> int:
        begun.clear()
        world.clean()
        return len(begun)

    without = count_transactions()
    sweep_ids = [world.submit() for _ in range(3)]
    for name in (f"sweep-{sweep_id}-{attempt}" for sweep_id in sweep_ids for attempt in (1, 2)):
        world.ray.move(name, "SUCCEEDED")
    assert count_transactions() == without


def test_two_late_drivers_move_the_end_to_the_later_one(world: World) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    later, earlier = (f"sweep-{sweep_id}-{attempt}" for attempt in (1, 2))
    world.command(sweep_id, Command.CANCEL)
    world.tick(2)
    for name, seconds in ((later, 20), (earlier, 10)):
        world.ray.move(name, "STOPPED")
        world.ray.jobs[name]["end_time"] += 1000 * seconds
    world.clean()
    assert world.row(sweep_id).ended_at == world.ended_at(later)


def test_jobs_of_others_are_left_alone(world: World) -> None:
    for name in ("sweep-0123456789ab-1", "raysubmit_abc", "sweep-x-y"):
        world.ray.move(name, "RUNNING")
    world.clean()
    assert world.ray.stops == []


def test_housekeeping_waits_for_ray(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.ray.is_unavailable = True
    world.clean()
    assert "housekeeping waits: Ray does not answer" in caplog.text


def test_log_of_a_driver_is_live_while_it_runs_and_kept_when_it_died(
    world: World, logs: DriverLogs
) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    world.ray.logs = "one\ntwo\nthree\n"
    assert logs.read(sweep_id, range(1, 2), lines=2) == [(1, "two\nthree\n")]
    world.fail_driver(sweep_id)
    world.ray.jobs.clear()
    world.ray.logs = "second\0\n"
    world.run(sweep_id)
    world.ray.move(world.job(sweep_id), "SUCCEEDED")
    world.tick()
    world.ray.is_unavailable = True
    assert logs.read(sweep_id, range(1, 3), lines=100) == [
        (1, "one\ntwo\nthree\n"),
        (2, "second\n"),
    ]
    assert logs.read(sweep_id, range(1, 2), lines=1) == [(1, "three\n")]


def test_log_that_is_only_in_a_cluster_that_is_unavailable_is_a_problem(
    world: World, logs: DriverLogs
) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    world.ray.is_unavailable = True
    with pytest.raises(RayUnavailableError):
        logs.read(sweep_id, range(1, 2), lines=10)


def test_long_log_keeps_its_end(world: World, logs: DriverLogs) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    world.ray.logs = "".join(f"{number:09}\n" for number in range(40_000))
    world.fail_driver(sweep_id)
    world.ray.jobs.clear()
    ((_, text),) = logs.read(sweep_id, range(1, 2), lines=40_000)
    assert len(text) == 2**18
    assert text.endswith("000039999\n")


def test_logs_of_the_newest_drivers_are_kept(world: World, logs: DriverLogs) -> None:
    sweep_id = world.submit()
    world.tick()
    for attempt in range(1, 24):
        world.ray.move(f"sweep-{sweep_id}-{attempt}", "FAILED")
        logs.keep(sweep_id, attempt, world.lease)
    kept = [attempt for attempt, _ in logs.read(sweep_id, range(1, 24), lines=1)]
    assert kept == list(range(4, 24))


def test_old_events_of_ended_sweeps_are_dropped(world: World) -> None:
    sweep_id = world.submit()
    world.command(sweep_id, Command.CANCEL)
    world.tick()
    world.clean()
    assert len(world.events(sweep_id)) == 3
    world.hurry(sweep_id, ended_at=datetime.now(UTC) - timedelta(days=31))
    world.clean()
    assert [data["state"] for _, data in world.events(sweep_id)] == ["cancelled"]
