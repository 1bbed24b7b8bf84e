"""Estimated cost of a sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from service.storage import Database, TrialRow
from service.sweeps.curvature_cost import curvature_costs
from service.sweeps.estimates import Cost, costs
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from workers.spec import SweepSpec

END = datetime(2026, 1, 2, tzinfo=UTC)


def specification(**changes: Any) -> SweepSpec:
    """Two optimizers, whose trials take 10 steps of 64 images each; SAM evaluates twice a step."""
    plain = {
        "name": "digits",
        "dataset": {"name": "digits", "train_size": 640},
        "model": "cnn-tiny",
        "optimizers": ["sam", "msgd"],
        "search": {"learning_rate": [0.1], "weight_decay": [0.0]},
        "training": {"epochs": 1, "batch_size": 64},
    }
    return SweepSpec.model_validate(plain | changes)


def run(sweeps: SweepService, database: Database, spec: SweepSpec, *seconds: float | None) -> None:
    """Submit a sweep and complete its trials in so many seconds each, None for a failure."""
    sweep, _ = sweeps.submit(spec)
    counts = {"sam": 20.0, "msgd": 10.0}
    with database.transaction() as session:
        for trial, duration in zip(spec.trials, seconds, strict=True):
            values = {
                "outcome": "failed" if duration is None else "completed",
                "metrics": {"gradient_evaluations": counts[trial.optimizer.name]},
                "started_at": END - timedelta(seconds=duration or 1_000),
                "ended_at": END,
            }
            TrialRepository(session).record(sweep.sweep_id, trial.key, values)


def test_evaluations_are_counted_for_each_optimizer() -> None:
    def evaluations(**changes: Any) -> list[int | None]:
        found = costs(specification(**changes)).values()
        return [cost.gradient_evaluations for cost in found]

    assert evaluations() == [20, 10]
    assert evaluations(seeds=[0, 1, 2]) == [60, 30]
    others = ["adamw", {"name": "looksam", "k": 4}, "torch:RMSprop", "torch:LBFGS"]
    assert evaluations(optimizers=others) == [10, 12, 10, 200]
    assert evaluations(optimizers=[{"name": "sam", "base": "torch:RMSprop"}]) == [20]
    folder = {"name": "image-folder", "kwargs": {"image_size": 32}}
    assert evaluations(dataset=folder) == [None, None]


def test_costs_take_each_configurations_steps() -> None:
    spec = specification(
        search={
            **{"learning_rate": [0.1, 1], "weight_decay": 0},
            "training.batch_size": [64, 320],
            "training.epochs": [1, 3],
            "dataset.train_size": [640, 320],
        },
        optimizers=["sam", {"name": "msgd", "search": {"nesterov": [True, False]}}],
    )
    steps = (10 + 2 + 5 + 1) * (1 + 3) * 2  # over batch sizes, epochs, learning rates
    images = (640 + 640 + 320 + 320) * (1 + 3) * 2
    assert costs(spec) == {
        "sam": Cost(16, 2 * steps, 2 * images),
        "msgd": Cost(32, 2 * steps, 2 * images),
    }


def test_costs_of_a_search_are_those_of_random_configurations() -> None:
    sizes = {"low": 32, "high": 64}
    search = {"type": "tpe", "trials": 50, "training.batch_size": sizes}
    cost = costs(specification(search=search))["msgd"]
    assert cost.configurations == 50
    assert 50 * 640 // 64 < (cost.gradient_evaluations or 0) < 50 * 640 // 32


def test_dry_run_counts_the_configurations_of_each_optimizer(sweeps: SweepService) -> None:
    optimizers = ["sam", {"name": "msgd", "search": {"nesterov": [True, False]}}]
    estimate = sweeps.estimate(specification(optimizers=optimizers, seeds=[0, 1, 2]))
    assert estimate.configurations == {"sam": 1, "msgd": 2}
    assert estimate.trials == 9


def test_dry_run_counts_the_trials_that_may_be_reused(
    sweeps: SweepService, database: Database
) -> None:
    run(sweeps, database, specification(), 5, None)
    assert sweeps.estimate(specification()).reusable_trials is None
    assert sweeps.estimate(specification(reuse=True)).reusable_trials == 1  # the other one failed
    other = specification(reuse=True, training={"epochs": 2, "batch_size": 64})
    assert sweeps.estimate(other).reusable_trials == 0


def test_trials_that_were_reused_are_no_source(sweeps: SweepService, database: Database) -> None:
    run(sweeps, database, specification(), 5, 5)
    with database.transaction() as session:
        session.execute(update(TrialRow).values(reused_from={"sweep_id": "a", "run_id": "b"}))
    assert sweeps.estimate(specification(reuse=True)).reusable_trials == 0


def test_nothing_comparable_gives_no_estimate(sweeps: SweepService, database: Database) -> None:
    assert sweeps.estimate(specification()).device_seconds is None
    run(sweeps, database, specification(model="vgg11-slim"), 60, 60)
    run(sweeps, database, specification(dataset={"name": "cifar10", "train_size": 640}), 60, 60)
    run(sweeps, database, specification(), None, None)
    assert sweeps.estimate(specification()).device_seconds is None


def test_estimate_is_the_median_of_the_optimizer(sweeps: SweepService, database: Database) -> None:
    for sam, msgd in ((20, 5), (22, 7), (500, 6)):
        run(sweeps, database, specification(name="past"), sam, msgd)
    assert sweeps.estimate(specification()).device_seconds == pytest.approx(22 + 6)
    twice = specification(training={"epochs": 2, "batch_size": 64}, seeds=[0, 1])
    assert sweeps.estimate(twice).device_seconds == pytest.approx(4 * (22 + 6))
    larger = specification(training={"epochs": 1, "batch_size": 128})
    assert sweeps.estimate(larger).device_seconds == pytest.approx(22 + 6)


def test_optimizer_that_never_ran_is_estimated_from_the_others(
    sweeps: SweepService, database: Database
) -> None:
    run(sweeps, database, specification(optimizers=["sam"]), 20)
    # One second an evaluation of 64 images, twenty of SAM and ten of momentum SGD.
    assert sweeps.estimate(specification()).device_seconds == pytest.approx(30)


def test_curvature_costs_count_every_measurement_of_a_trial() -> None:
    quantities = [
        *("trace", "stability_ratio", "worst_case_sharpness"),
        *("average_case_sharpness", "gradient_noise_scale", "critical_sharpness"),
    ]
    spec = specification(
        training={"epochs": 10, "batch_size": 64},
        curvature={
            **{"metrics": quantities, "every": 3, "at_best": True},
            **{"images": 512, "max_matvecs": 50},
        },
    )
    found = {
        cost.quantity: (
            *(cost.measurements, cost.images, cost.gradient_evaluations, cost.forward_passes),
        )
        for cost in curvature_costs(spec)
    }
    assert found == {  # after epochs 3, 6, 9 and 10, and at the best
        "trace": (5, 1024, 100, 0),
        "stability_ratio": (4, 512, 100, 0),
        "worst_case_sharpness": (5, 1024, 27, 2),
        "average_case_sharpness": (5, 1024, 0, 21),
        "gradient_noise_scale": (5, 512, 1, 0),
        "critical_sharpness": (10, 512, 0, 6),
    }


def test_sweep_without_curvature_has_no_cost_of_it() -> None:
    assert curvature_costs(specification(curvature=None)) == []


def test_wall_clock_is_estimated_from_trials_at_the_same_time(
    sweeps: SweepService, database: Database
) -> None:
    assert sweeps.estimate(specification()).wall_clock_seconds is None
    run(sweeps, database, specification(), 20, 10)  # 30 seconds within 20: 1.5 at the same time
    many = specification(seeds=list(range(10)))
    assert sweeps.estimate(many).device_seconds == pytest.approx(300)
    assert sweeps.estimate(many).wall_clock_seconds == pytest.approx(200)
    one_by_one = specification(seeds=list(range(10)), resources={"max_concurrent": 1})
    assert sweeps.estimate(one_by_one).wall_clock_seconds == pytest.approx(300)
