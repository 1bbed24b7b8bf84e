"""Extension of a sweep while it runs: the next driver runs what the current one does not know."""

from __future__ import annotations

from service.states import Command
from service.sweeps.schemas import SweepDetail
from tests.support.reconciler_world import World
from workers.job import DriverJob
from workers.metrics import Outcome
from workers.spec import SweepSpec


def extend(world: World, sweep_id: str) -> SweepDetail:
    """Extend a sweep by two trials."""
    plain = world.show(sweep_id).specification | {"seeds": [0, 1]}
    return world.sweeps.extend(sweep_id, SweepSpec.model_validate(plain))


def succeed(world: World, sweep_id: str) -> None:
    """End the driver and let the reconciler see it."""
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()


def test_next_driver_runs_the_trials_of_an_extension(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    first, second = driver.specification.trials
    driver.end_trial(first, Outcome.COMPLETED, epoch=1, val_accuracy=0.5)
    world.tick()
    extended = extend(world, sweep_id)
    assert (extended.state, extended.progress.total) == ("running", 4)
    driver.end_trial(second, Outcome.COMPLETED, epoch=1, val_accuracy=0.5)
    succeed(world, sweep_id)
    waiting = world.show(sweep_id)
    assert (waiting.state, waiting.reason, waiting.attempt) == ("queued", None, 1)
    assert (waiting.progress.completed, waiting.progress.pending) == (2, 2)

    again = world.run(sweep_id)
    assert again.attempt == 2
    job = DriverJob.parse(world.ray.submissions[-1]["runtime_env"]["env_vars"]["SASAM_JOB"])
    assert job.specification.seeds == (0, 1)
    again.experiment_id, again.parent = driver.experiment_id, driver.parent
    again.runs = driver.runs
    new = [trial for trial in job.specification.trials if trial.key not in driver.runs]
    assert len(new) == 2
    for trial in new:
        again.end_trial(trial, Outcome.COMPLETED, epoch=1, val_accuracy=0.5)
    succeed(world, sweep_id)
    done = world.show(sweep_id)
    assert (done.state, done.progress.completed) == ("completed", 4)


def test_extended_sweep_that_is_pausing_is_paused(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    extend(world, sweep_id)
    world.command(sweep_id, Command.PAUSE)
    driver.end_all()
    succeed(world, sweep_id)
    assert world.show(sweep_id).state == "paused"
    world.command(sweep_id, Command.RESUME)
    assert world.run(sweep_id).specification.trial_count == 4


def test_results_that_are_missing_after_the_next_driver_fail_the_sweep(world: World) -> None:
    sweep_id = world.submit()
    world.run(sweep_id).start()
    extend(world, sweep_id)
    succeed(world, sweep_id)
    world.run(sweep_id)
    succeed(world, sweep_id)
    failed = world.show(sweep_id)
    assert (failed.state, failed.attempt) == ("failed", 2)
    assert failed.reason == "4 of 4 trials have no result in MLflow"
