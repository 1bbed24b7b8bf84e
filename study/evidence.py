"""Statistics of a record that no summary has: curvature compared cell by cell, one value per seed.

A seed trains every configuration once, so that it gives one value of a statistic over the whole
grid. The interval is Student's over seeds: with two seeds it is 12.7 standard errors wide on either
side.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import mean, median, stdev
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from service.sensitivity.flatness_correlation import LEARNED_FRACTION, kendall_tau
from study.records import Estimate, PartRecord, TrialRecord

__all__ = [
    "Curvature",
    "accuracy_at_largest_rate",
    "curvature_log_ratio",
    "flatness_tau",
    "loss_at_largest_rate",
    "lowest_share",
    "over_seeds",
    "selected_curvature",
    "threshold_of_learning",
]

Curvature: TypeAlias = Literal["hessian_trace", "hessian_lambda_max"]
_Cell: TypeAlias = tuple[float, float]

_LEVEL = 0.975


def over_seeds(values: Iterable[float]) -> Estimate:
    """Mean of one value per seed with Student's 95 % interval; none with fewer than two seeds."""
    known = list(values)
    if not known:
        return Estimate(value=None)
    centre = mean(known)
    if len(known) < 2:
        return Estimate(value=centre)
    half = float(stats.t.ppf(_LEVEL, len(known) - 1)) * stdev(known) / math.sqrt(len(known))
    return Estimate(value=centre, low=centre - half, high=centre + half)


def threshold_of_learning(record: PartRecord) -> float:
    """OOD accuracy from which a trial has learned: half of the best optimizer's gain on chance."""
    best = max(one.best.ood_accuracy.value or 0.0 for one in record.optimizers)
    return record.chance_accuracy + LEARNED_FRACTION * (best - record.chance_accuracy)


def curvature_log_ratio(
    record: PartRecord,
    a: str,
    b: str,
    metric: Curvature,
    *,
    learned_only: bool = False,
    selected_only: bool = False,
) -> Estimate:
    """log10 of the curvature of ``a`` over that of ``b``, mean over configurations, over seeds.

    A configuration counts for a seed if both trials have a positive curvature. A diverged trial has
    none.

    Args:
        record: The part.
        a: Label of an optimizer.
        b: Label of another.
        metric: What is compared.
        learned_only: Leave out configurations where either trial did not learn.
        selected_only: Compare the configurations that validation selects, of each its own.
    """
    least = threshold_of_learning(record) if learned_only else 0.0
    of_a, of_b = (_cells(record, label, metric, least) for label in (a, b))
    values = []
    for seed in sorted(of_a.keys() & of_b.keys()):
        one, other = of_a[seed], of_b[seed]
        if selected_only:
            cells = [(_selected(record, a), _selected(record, b))]
        else:
            cells = [(cell, cell) for cell in one]
        logs = [
            math.log10(one[of_one] / other[of_other])
            for of_one, of_other in cells
            if of_one in one and of_other in other
        ]
        if logs:
            values.append(mean(logs))
    return over_seeds(values)


def lowest_share(record: PartRecord, label: str, metric: Curvature) -> tuple[int, int]:
    """Configurations at which an optimizer's median curvature is the lowest, and all with it."""
    medians = {one.label: _cell_medians(record, one.label, metric) for one in record.optimizers}
    own = medians.pop(label)
    lowest = [
        cell
        for cell, value in own.items()
        if all(value < of.get(cell, math.inf) for of in medians.values())
    ]
    return len(lowest), len(own)


def selected_curvature(record: PartRecord, label: str, metric: Curvature) -> float | None:
    """Median curvature over seeds at the selected configuration; None if every trial diverged."""
    return _cell_medians(record, label, metric).get(_selected(record, label))


def accuracy_at_largest_rate(
    record: PartRecord, label: str, *, less_than: str | None = None
) -> Estimate:
    """OOD accuracy at the largest learning rate, mean over weight decays, over seeds.

    Args:
        record: The part.
        label: Of the optimizer. Its diverged trials count as chance.
        less_than: What it lacks to another optimizer there, instead of the accuracy itself.
    """
    own = _accuracy_by_seed(record, label, max(record.learning_rates))
    if less_than is None:
        return over_seeds(own.values())
    other = _accuracy_by_seed(record, less_than, max(record.learning_rates))
    return over_seeds(other[seed] - own[seed] for seed in sorted(own.keys() & other.keys()))


def loss_at_largest_rate(record: PartRecord, label: str) -> Estimate:
    """OOD accuracy at the selected learning rate less that at the largest, over seeds."""
    chosen = _accuracy_by_seed(record, label, record.optimizer(label).best.learning_rate)
    there = _accuracy_by_seed(record, label, max(record.learning_rates))
    return over_seeds(chosen[seed] - there[seed] for seed in sorted(chosen.keys() & there.keys()))


def flatness_tau(record: PartRecord, label: str | None, metric: Curvature) -> Estimate:
    """Kendall's tau-b of curvature with OOD accuracy over trials that learned, over seeds.

    Args:
        record: The part.
        label: Of one optimizer; None for the mean over all optimizers, each within itself.
        metric: The curvature. Negative: flatter is better.
    """
    least = threshold_of_learning(record)
    labels = [one.label for one in record.optimizers] if label is None else [label]
    values = []
    for seed in sorted({trial.seed for trial in record.trials}):
        found = []
        for one in labels:
            points = [
                (getattr(trial, metric), trial.ood_accuracy)
                for trial in _trials(record, one)
                if trial.seed == seed
                and getattr(trial, metric) is not None
                and (trial.ood_accuracy or 0.0) >= least
            ]
            tau = kendall_tau(*np.array(points, dtype=float).T) if len(points) > 2 else math.nan
            if not math.isnan(tau):
                found.append(tau)
        if found:
            values.append(mean(found))
    return over_seeds(values)


def _trials(record: PartRecord, label: str) -> Iterable[TrialRecord]:
    return (trial for trial in record.trials if trial.optimizer == label)


def _accuracy_by_seed(record: PartRecord, label: str, rate: float) -> Mapping[int, float]:
    """OOD accuracy at a learning rate by seed, mean over weight decays."""
    found: dict[int, list[float]] = defaultdict(list)
    for trial in _trials(record, label):
        if trial.learning_rate == rate and trial.ood_accuracy is not None:
            found[trial.seed].append(trial.ood_accuracy)
    return {seed: mean(values) for seed, values in found.items()}


def _cells(
    record: PartRecord, label: str, metric: Curvature, least: float
) -> Mapping[int, Mapping[_Cell, float]]:
    """Positive curvature of the trials with at least an accuracy, by seed and configuration."""
    found: dict[int, dict[_Cell, float]] = defaultdict(dict)
    for trial in _trials(record, label):
        value: float | None = getattr(trial, metric)
        if value is not None and value > 0 and (trial.ood_accuracy or 0.0) >= least:
            found[trial.seed][trial.learning_rate, trial.weight_decay] = value
    return found


def _cell_medians(record: PartRecord, label: str, metric: Curvature) -> Mapping[_Cell, float]:
    """Median curvature over seeds, by configuration."""
    found: dict[_Cell, list[float]] = defaultdict(list)
    for trial in _trials(record, label):
        value: float | None = getattr(trial, metric)
        if value is not None:
            found[trial.learning_rate, trial.weight_decay].append(value)
    return {cell: median(values) for cell, values in found.items()}


def _selected(record: PartRecord, label: str) -> _Cell:
    best = record.optimizer(label).best
    return best.learning_rate, best.weight_decay
