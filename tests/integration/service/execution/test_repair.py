"""Repair of trials and sweeps from MLflow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import delete, update

from service.execution.repair import Repair
from service.external.ray_jobs import RayJobs
from service.problems import NotFoundProblem
from service.states import Command
from service.storage import SweepRow, TrialRow
from tests.support.reconciler_world import World
from workers.metrics import Outcome
from workers.mlflow_schema import TrialRun


@pytest.fixture
def repair(world: World) -> Repair:
    return Repair(world.database, RayJobs(world.settings), world.results)


def complete(world: World) -> Any:
    """Bring a sweep to its end; returns its driver."""
    sweep_id = world.submit(priority=3)
    driver = world.run(sweep_id)
    driver.start()
    store_specification(world, driver)
    driver.end_all()
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    assert world.show(sweep_id).state == "completed"
    return driver


def store_specification(world: World, driver: Any) -> None:
    driver.client.set_tag(driver.parent, "sasam.attempt", str(driver.attempt))
    text = json.dumps(driver.specification.model_dump(mode="json"))
    driver.client.log_text(driver.parent, text, "specification.json")


def forget(world: World, sweep_id: str) -> None:
    """Lose a sweep, as a lost database does."""
    with world.database.transaction() as session:
        session.execute(delete(SweepRow).where(SweepRow.sweep_id == sweep_id))


def columns(world: World, sweep_id: str) -> list[dict[str, Any]]:
    names = [column.name for column in TrialRow.__table__.columns if column.name != "details"]
    return [{name: getattr(row, name) for name in names} for row in world.trials(sweep_id)]


def test_trials_are_built_anew(world: World, repair: Repair) -> None:
    driver = complete(world)
    before = columns(world, driver.sweep_id)
    first, second = driver.specification.trials
    with world.database.transaction() as session:
        session.execute(delete(TrialRow).where(TrialRow.key == first.key))
        wrong = {"outcome": "failed", "metrics": {"val_accuracy": 0.99}, "error": "none"}
        session.execute(update(TrialRow).where(TrialRow.key == second.key).values(**wrong))
    assert len(columns(world, driver.sweep_id)) == 1
    view = repair.trials(driver.sweep_id)
    assert (view.sweeps, view.trials, view.problems) == ([driver.sweep_id], 2, [])
    assert columns(world, driver.sweep_id) == before
    assert world.events(driver.sweep_id)[-1] == ("repaired", {"trials": 2})


def test_sweep_that_ends_while_it_is_repaired_keeps_its_last_results(
    world: World, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    driver.start_trial(driver.specification.trials[0])
    read = world.results.trial_runs

    def read_and_end(*arguments: Any, **options: Any) -> list[TrialRun]:
        runs = list(read(*arguments, **options))
        if world.show(sweep_id).state == "running":
            driver.end_all()
            world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
            with monkeypatch.context() as patch:
                patch.setattr(world.results, "trial_runs", read)
                world.tick()
        return runs

    monkeypatch.setattr(world.results, "trial_runs", read_and_end)
    assert repair.trials(sweep_id).trials == 2
    done = world.show(sweep_id)
    assert (done.state, done.progress.completed) == ("completed", 2)


def test_trial_that_mlflow_does_not_know_is_pending_again(world: World, repair: Repair) -> None:
    driver = complete(world)
    first, _ = driver.specification.trials
    driver.client.delete_run(driver.runs[first.key])
    assert repair.trials(driver.sweep_id).trials == 1
    assert [row.status for row in world.trials(driver.sweep_id)] == ["pending", "completed"]


def test_sweep_without_any_run_is_repaired_to_its_plan(world: World, repair: Repair) -> None:
    sweep_id = world.submit()
    assert repair.trials(sweep_id).trials == 0
    assert [row.status for row in world.trials(sweep_id)] == ["pending", "pending"]
    with pytest.raises(NotFoundProblem):
        repair.trials("0" * 12)


def test_lost_sweep_comes_back_with_all_its_results(world: World, repair: Repair) -> None:
    driver = complete(world)
    before, trials = world.row(driver.sweep_id), columns(world, driver.sweep_id)
    other = complete(world)
    forget(world, driver.sweep_id)
    view = repair.sweeps()
    assert driver.sweep_id in view.sweeps
    assert other.sweep_id not in view.sweeps
    after = world.row(driver.sweep_id)
    for column in (
        *("name", "specification", "state", "priority", "attempt", "trial_count", "body_hash"),
        *("mlflow_experiment_id", "mlflow_run_id", "classes"),
    ):
        assert getattr(after, column) == getattr(before, column), column
    assert after.created_at <= after.ended_at
    assert columns(world, driver.sweep_id) == trials
    assert world.show(driver.sweep_id).progress.completed == 2
    assert driver.sweep_id not in repair.sweeps().sweeps


def test_lost_sweep_continues_where_its_driver_runs_and_is_paused_elsewhere(
    world: World, repair: Repair
) -> None:
    running, dead = world.run(world.submit()), world.run(world.submit())
    for driver in (running, dead):
        driver.start()
        store_specification(world, driver)
        driver.start_trial(driver.specification.trials[0])
        forget(world, driver.sweep_id)
    del world.ray.jobs[f"sweep-{dead.sweep_id}-1"]
    assert {running.sweep_id, dead.sweep_id} <= set(repair.sweeps().sweeps)
    assert world.show(running.sweep_id).state == "running"
    world.tick()
    paused = world.show(dead.sweep_id)
    assert (paused.state, paused.reason) == (
        "paused",
        "restored from MLflow; resume it to continue",
    )
    running.end_all(Outcome.COMPLETED)
    world.ray.move(f"sweep-{running.sweep_id}-1", "SUCCEEDED", exit_code=0)
    world.tick()
    assert world.show(running.sweep_id).state == "completed"
    world.command(dead.sweep_id, Command.RESUME)
    assert world.run(dead.sweep_id).attempt == 2


def test_sweep_without_a_valid_specification_is_a_problem_and_no_obstacle(
    world: World, repair: Repair
) -> None:
    broken, sound = complete(world), complete(world)
    broken.client.log_text(broken.parent, '{"name": "broken", "extra": 1}', "specification.json")
    forget(world, broken.sweep_id)
    forget(world, sound.sweep_id)
    view = repair.sweeps()
    assert sound.sweep_id in view.sweeps
    assert broken.sweep_id not in view.sweeps
    assert any(problem.startswith(f"{broken.sweep_id}: ") for problem in view.problems)
