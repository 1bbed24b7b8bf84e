"""Estimated cost of a sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.storage import Database
from service.sweeps.estimates import gradient_evaluations
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
    assert gradient_evaluations(specification()) == [20, 10]
    assert gradient_evaluations(specification(seeds=[0, 1, 2])) == [60, 30]
    others = ["adamw", {"name": "looksam", "k": 4}, "torch:RMSprop", "torch:LBFGS"]
    assert gradient_evaluations(specification(optimizers=others)) == [10, 12, 10, 200]
    around = {"name": "sam", "base": "torch:RMSprop"}
    assert gradient_evaluations(specification(optimizers=[around])) == [20]
    folder = {"name": "image-folder", "kwargs": {"image_size": 32}}
    assert gradient_evaluations(specification(dataset=folder)) is None


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
