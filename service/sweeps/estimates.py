"""Estimated cost of a sweep, from its specification and from past trials.

    device seconds = sum over trials of gradient evaluations x batch size x seconds per image

Seconds per image are the median over past completed trials of the same model, data set and
optimizer, or of all optimizers if there is no trial of that one. They include the measurements at
the end of a trial.
"""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median

from sqlalchemy.orm import Session

from service.storage import TrialRow
from service.sweeps.repository import SweepRepository
from workers.catalog import datasets
from workers.spec import SweepSpec

__all__ = ["device_seconds", "gradient_evaluations"]


def gradient_evaluations(specification: SweepSpec) -> list[int] | None:
    """Gradient evaluations of all trials of each optimizer.

    None if the size of the data set is unknown.
    """
    dataset = specification.dataset
    images: int | None = dataset.train_size or datasets.entry(dataset.name).facts.get(
        "train_images"
    )
    if images is None:
        return None
    if dataset.validation == "split" and dataset.train_size is None:
        images = math.floor(images * (1 - dataset.validation_fraction))
    training = specification.training
    steps = images // training.batch_size * training.epochs  # an incomplete last batch is dropped
    cells = specification.search.configuration_count * len(specification.seeds)
    return [
        round((optimizer.gradient_evaluations_per_step or 1.0) * cells * steps)
        for optimizer in specification.optimizers
    ]


def device_seconds(session: Session, specification: SweepSpec) -> float | None:
    """Seconds that all trials take one after the other; None without comparable trials."""
    evaluations = gradient_evaluations(specification)
    rates = _seconds_per_image(session, specification)
    if evaluations is None or not rates:
        return None
    overall = median(rate for group in rates.values() for rate in group)
    batch_size = specification.training.batch_size
    seconds = 0.0
    for optimizer, count in zip(specification.optimizers, evaluations, strict=True):
        known = rates.get(optimizer.name)
        seconds += count * batch_size * (median(known) if known else overall)
    return seconds


def _seconds_per_image(session: Session, specification: SweepSpec) -> dict[str, list[float]]:
    """Seconds per image of comparable trials, by the name of their optimizer."""
    sweeps = SweepRepository(session)
    model = specification.model.model_dump(mode="json")
    batch_sizes = {
        row.sweep_id: row.specification["training"]["batch_size"]
        for row in sweeps.comparable(specification.model.name, specification.dataset.name)
        if row.specification["model"] == model
    }
    rates: dict[str, list[float]] = defaultdict(list)
    for trial in sweeps.completed_trials(list(batch_sizes)):
        images = trial.metrics.get("gradient_evaluations", 0) * batch_sizes[trial.sweep_id]
        if images and (seconds := _duration_seconds(trial)) is not None:
            rates[trial.optimizer_name].append(seconds / images)
    return rates


def _duration_seconds(trial: TrialRow) -> float | None:
    if trial.started_at is None or trial.ended_at is None:
        return None
    return (trial.ended_at - trial.started_at).total_seconds()
