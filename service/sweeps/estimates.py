"""Estimated cost of a sweep, from its specification and from past trials.

    device seconds = sum over trials of gradient evaluations x batch size x seconds per image

The sum takes the training size, batch size and epochs of each configuration.

Seconds per image are the median over past completed trials of the same model, data set and
optimizer, or of all optimizers if there is no trial of that one. They include the measurements at
the end of a trial.

    wall-clock seconds = device seconds / trials that run at the same time

How many run at the same time is measured, too: the time that the trials of a driver took together
over the time from the first start to the last end.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy.orm import Session

from service.storage import TrialRow
from service.sweeps.repository import SweepRepository
from workers.catalog import datasets
from workers.spec import Configuration, SweepSpec
from workers.spec.axes import read_axis

__all__ = ["Cost", "costs", "device_seconds", "wall_clock_seconds"]

_BATCH_SIZE = "training.batch_size"
_COSTLY = ("dataset.train_size", _BATCH_SIZE, "training.epochs")
"""Settings that the number of steps depends on."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of all trials of an optimizer.

    Args:
        configurations: Number of its configurations.
        gradient_evaluations: Gradient evaluations of all its trials; None if the size of the data
            set is unknown.
        images: Images of the mini-batches of these evaluations; None likewise.
    """

    configurations: int
    gradient_evaluations: int | None
    images: int | None

    def without(self, other: Cost) -> Cost:
        """The cost without that of some of the trials; the configurations stay."""
        if None in (self.images, other.images):
            return self
        return replace(
            self,
            gradient_evaluations=(self.gradient_evaluations or 0)
            - (other.gradient_evaluations or 0),
            images=(self.images or 0) - (other.images or 0),
        )


def costs(specification: SweepSpec) -> dict[str, Cost]:
    """The cost of each optimizer, by its label.

    A TPE search counts as a random search over its axes: its configurations are not known.
    """
    return {label: _cost(specification, label) for label in specification.labels}


def _cost(specification: SweepSpec, label: str) -> Cost:
    """The cost of an optimizer."""
    configurations = specification.expected_configurations(label)
    optimizer = specification.optimizers[specification.labels.index(label)]
    per_step = optimizer.gradient_evaluations_per_step or 1.0
    evaluations = images = 0
    for settings, count in _distinct(specification, label, configurations).items():
        train_size, batch_size, epochs = settings
        known = _training_images(specification, train_size)
        if known is None:
            return Cost(len(configurations), None, None)
        steps = known // batch_size * epochs  # an incomplete last batch is dropped
        made = round(steps * count * len(specification.seeds) * per_step)
        evaluations += made
        images += made * batch_size
    return Cost(len(configurations), evaluations, images)


def _distinct(
    specification: SweepSpec, label: str, configurations: Sequence[Configuration]
) -> Counter[tuple[int | None, int, int]]:
    """How many configurations have each training size, batch size and number of epochs."""
    fixed = specification.space(label).fixed
    base = {axis: read_axis(specification, axis) for axis in _COSTLY}
    found: Counter[Any] = Counter()
    for configuration in configurations:
        values = {**base, **fixed, **configuration}
        found[tuple(values[axis] for axis in _COSTLY)] += 1
    return found


def _training_images(specification: SweepSpec, train_size: int | None) -> int | None:
    """Number of training images; None if the size of the data set is unknown."""
    dataset = specification.dataset
    if train_size is not None:
        return train_size
    facts = datasets.entry(dataset.name).facts
    given = dataset.kwargs.get(facts.get("size_keyword", ""))
    images: int | None = given if isinstance(given, int) else facts.get("train_images")
    if images is None or dataset.validation == "test":
        return images
    return math.floor(images * (1 - dataset.validation_fraction))


def device_seconds(
    session: Session, specification: SweepSpec, costs: Mapping[str, Cost]
) -> float | None:
    """Seconds that all trials take one after the other; None without comparable trials.

    Args:
        session: An open transaction.
        specification: The sweep.
        costs: Result of `costs`.
    """
    rates = _seconds_per_image(*_comparable(session, specification))
    if not rates:
        return None
    overall = median(rate for group in rates.values() for rate in group)
    seconds = 0.0
    for optimizer, cost in zip(specification.optimizers, costs.values(), strict=True):
        if cost.images is None:
            return None
        known = rates.get(optimizer.name)
        seconds += cost.images * (median(known) if known else overall)
    return seconds


def wall_clock_seconds(
    session: Session, specification: SweepSpec, device_seconds: float | None
) -> float | None:
    """Seconds from the first start of a trial to the last end; None without comparable trials.

    Args:
        session: An open transaction.
        specification: The sweep.
        device_seconds: Result of `device_seconds`.
    """
    _, trials = _comparable(session, specification)
    at_once = _at_the_same_time(trials)
    if device_seconds is None or at_once is None:
        return None
    most = specification.resources.max_concurrent or specification.trial_count
    return device_seconds / max(1.0, min(at_once, most, specification.trial_count))


def _at_the_same_time(trials: Sequence[TrialRow]) -> float | None:
    """How many trials ran at the same time, the median over drivers; None if unknown."""
    by_driver: dict[tuple[str, int], list[tuple[datetime, datetime]]] = defaultdict(list)
    for trial in trials:
        if trial.started_at is not None and trial.ended_at is not None:
            by_driver[trial.sweep_id, trial.attempt].append((trial.started_at, trial.ended_at))
    found = []
    for times in by_driver.values():
        span = max(end for _, end in times) - min(start for start, _ in times)
        if span:
            found.append(sum((end - start for start, end in times), timedelta()) / span)
    return median(found) if found else None


def _comparable(
    session: Session, specification: SweepSpec
) -> tuple[dict[str, int], Sequence[TrialRow]]:
    """Batch sizes of sweeps of the same model and data set by id, and their completed trials."""
    sweeps = SweepRepository(session)
    model = specification.model.model_dump(mode="json")
    batch_sizes = {
        row.sweep_id: row.specification["training"]["batch_size"]
        for row in sweeps.comparable(specification.model.name, specification.dataset.name)
        if row.specification["model"] == model
    }
    return batch_sizes, sweeps.completed_trials(list(batch_sizes))


def _seconds_per_image(
    batch_sizes: Mapping[str, int], trials: Sequence[TrialRow]
) -> dict[str, list[float]]:
    """Seconds per image of comparable trials, by the name of their optimizer."""
    rates: dict[str, list[float]] = defaultdict(list)
    for trial in trials:
        batch_size = trial.hyperparameters.get(_BATCH_SIZE, batch_sizes[trial.sweep_id])
        images = trial.metrics.get("gradient_evaluations", 0) * batch_size
        if images and (seconds := _duration_seconds(trial)) is not None:
            rates[trial.optimizer_name].append(seconds / images)
    return rates


def _duration_seconds(trial: TrialRow) -> float | None:
    if trial.started_at is None or trial.ended_at is None:
        return None
    return (trial.ended_at - trial.started_at).total_seconds()
