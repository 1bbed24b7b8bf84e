"""Aggregates of the scores of single runs over tasks: IQM, optimality gap, score profile, P(X > Y).

    IQM                       mean of the middle half of all runs: floor(n / 4) cut at each end
    optimality gap            gamma - mean(min(x, gamma)): how far runs fall short of gamma
    score profile             share of runs with x > tau, for each tau
    P(X > Y)                  mean over tasks of U / (n m), U of Mann and Whitney: ties count half

Unlike means over configurations, they look at runs, so that a method that sometimes fails shows it.

Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice";
    google-research/rliable, metrics.py and library.py (read). Departure: tasks may have different
    numbers of runs. The interval is rliable's stratified bootstrap with percentiles.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Statistic",
    "interquartile_mean",
    "optimality_gap",
    "probability_of_improvement",
    "score_profile",
    "stratified_interval",
]

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""A statistic of [..., runs]."""


def interquartile_mean(scores: Floats) -> Floats:
    """Mean of the middle half.

    Args:
        scores: [..., runs], no NaN, at least one.
    """
    ordered = np.sort(scores, axis=-1)
    cut = scores.shape[-1] // 4
    mean: Floats = ordered[..., cut : scores.shape[-1] - cut].mean(axis=-1)
    return mean


def optimality_gap(scores: Floats, gamma: float = 1.0) -> Floats:
    """Mean shortfall from gamma; a run above it does not make up for one below.

    Args:
        scores: [..., runs], no NaN, at least one; higher is better.
        gamma: What is good enough.
    """
    gap: Floats = gamma - np.minimum(scores, gamma).mean(axis=-1)
    return gap


def score_profile(scores: Floats, taus: Floats) -> Floats:
    """Share of runs above each threshold.

    Args:
        scores: [runs], no NaN, at least one; higher is better.
        taus: [T].

    Returns:
        [T] in [0, 1], not rising where ``taus`` rise.
    """
    ordered = np.sort(scores)
    share: Floats = 1 - np.searchsorted(ordered, taus, side="right") / ordered.size
    return share


def probability_of_improvement(x: Sequence[Floats], y: Sequence[Floats]) -> float:
    """Probability that a run of X beats a run of Y on the same task, on average over tasks.

    Args:
        x: [runs] of each task, at least one; higher is better.
        y: Likewise, of the same tasks.

    Returns:
        In [0, 1]; NaN without a task.
    """
    shares = []
    for ours, theirs in zip(x, y, strict=True):
        ordered = np.sort(theirs)
        below = np.searchsorted(ordered, ours, side="left")
        up_to = np.searchsorted(ordered, ours, side="right")
        shares.append(float((below + up_to).sum()) / (2 * ours.size * theirs.size))
    return float(np.mean(shares)) if shares else math.nan


def stratified_interval(
    tasks: Sequence[Floats],
    statistic: Statistic,
    rng: np.random.Generator,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval under resampling of the runs within each task.

    Args:
        tasks: [runs] of each task.
        statistic: Of [..., runs over all tasks].
        rng: Source of randomness.
        n_resamples: R.
        confidence: Level of the interval.

    Returns:
        None unless every task has at least three runs: with two, the resamples of a task take three
        values only.
    """
    if not tasks or min(runs.size for runs in tasks) < 3:
        return None
    drawn = [runs[rng.integers(runs.size, size=(n_resamples, runs.size))] for runs in tasks]
    values = statistic(np.concatenate(drawn, axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)
