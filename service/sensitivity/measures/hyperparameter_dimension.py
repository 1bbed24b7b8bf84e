"""Performance, sensitivity and effective hyperparameter dimension over workloads.

With G[w, h] the score of configuration h on workload w, normalised by percentiles of the workload,

    G = (x - p5_w) / (p95_w - p5_w)                 may exceed 1
    performance   mean_w max_h G[w, h]              tuned on each workload
    Phi           performance - max_h mean_w G[w, h]      what one configuration for all loses
    T(m)          max over subsets of m hyperparameters of mean_w max_{h agrees with h* outside the
                  subset} G[w, h],  h* = argmax_h mean_w G
    d             the smallest m with T(m) >= 0.95 performance

T(0) is the score of one configuration for all workloads, T(A) with all A hyperparameters tuned the
performance. The plane of performance (up) against Phi (right) has the good methods at its top left.

Source: Adkins, Bowling & White 2024, "A method for evaluating hyperparameter sensitivity in
    reinforcement learning", arXiv:2412.07165. Its authors' code was read (the functions
    ``compute_scores``, ``generate_sensitivity_plane`` and ``generate_dimensionality_plot``), which
    has all formulas but the normalisation; the 5th and 95th percentile are from memory and agree
    with the scores above 1 in that code's axes. As there, the 5th and 95th percentile are over all
    methods and configurations of a workload, and configurations that were not run on every workload
    take part in the performance, but not in the mean over workloads. That code draws the crossing
    of T with 0.95 interpolated between integers; both are given.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HyperparameterDimension",
    "PercentileRange",
    "hyperparameter_dimension",
    "percentile_range",
]

Floats = NDArray[np.float64]

_NEAR_PEAK = 0.95
_PERCENTILES = (5, 95)


@dataclass(frozen=True, slots=True)
class PercentileRange:
    """Percentiles of the scores of one workload.

    Attributes:
        low: 5th percentile.
        high: 95th percentile.
    """

    low: float
    high: float

    def normalise(self, scores: Floats, *, maximize: bool = True) -> Floats:
        """Scores with the 5th percentile at 0 and the 95th at 1, higher better; NaN stays.

        All scores of a workload without spread are 0.
        """
        width = self.high - self.low
        if width <= 0:
            return np.where(np.isnan(scores), math.nan, 0.0)
        return (scores - self.low) / width if maximize else (self.high - scores) / width


@dataclass(frozen=True, slots=True)
class HyperparameterDimension:
    """Performance, sensitivity and effective dimension of one method.

    Attributes:
        performance: Mean over workloads of the best normalised score of each.
        sensitivity: Phi, 0 or more.
        chosen: Index of the configuration for all workloads, h*.
        tuned: T(m) for m = 0..A.
        subsets: For m = 0..A the hyperparameters whose tuning gives T(m), by index.
        dimension: d; None where the performance is not positive.
        interpolated: The m at which T crosses 0.95 performance, linear between integers.
    """

    performance: float
    sensitivity: float
    chosen: int
    tuned: tuple[float, ...]
    subsets: tuple[tuple[int, ...], ...]
    dimension: int | None
    interpolated: float | None


def percentile_range(scores: Floats) -> PercentileRange:
    """5th and 95th percentile of all scores of a workload.

    Args:
        scores: [N] over methods and configurations; NaN is left out, at least one is known.
    """
    low, high = np.nanpercentile(scores, _PERCENTILES)
    return PercentileRange(float(low), float(high))


def hyperparameter_dimension(
    scores: Floats, places: NDArray[np.intp]
) -> HyperparameterDimension | None:
    """Performance, sensitivity and effective dimension.

    Args:
        scores: [H, W] normalised scores, higher is better; NaN where not tried.
        places: [H, A] index of each configuration's value on each hyperparameter.

    Returns:
        None with fewer than two workloads, one without a score, or no configuration tried on all.
    """
    usable = np.flatnonzero(~np.isnan(scores).any(axis=1))
    if scores.shape[1] < 2 or not usable.size:
        return None
    performance = float(np.nanmax(scores, axis=0).mean())
    chosen = int(usable[np.argmax(np.round(scores[usable].mean(axis=1), 12))])
    agrees = places == places[chosen]
    n_axes = places.shape[1]
    best = [
        max(
            (
                (_tuned(scores, agrees, subset), subset)
                for subset in itertools.combinations(range(n_axes), m)
            ),
            key=lambda found: found[0],
        )
        for m in range(n_axes + 1)
    ]
    tuned = [value for value, _ in best]
    return HyperparameterDimension(
        performance=performance,
        sensitivity=performance - tuned[0],
        chosen=chosen,
        tuned=tuple(tuned),
        subsets=tuple(subset for _, subset in best),
        dimension=_dimension(tuned, performance),
        interpolated=_crossing(tuned, performance),
    )


def _tuned(scores: Floats, agrees: NDArray[np.bool_], subset: Sequence[int]) -> float:
    """Mean over workloads of the best score with only a subset of hyperparameters tuned."""
    fixed = np.delete(agrees, list(subset), axis=1).all(axis=1)
    return float(np.nanmax(scores[fixed], axis=0).mean())  # h* itself is known everywhere


def _dimension(tuned: Sequence[float], performance: float) -> int | None:
    """Fewest hyperparameters tuned for 95 % of the performance."""
    if performance <= 0:
        return None
    return next(m for m, value in enumerate(tuned) if value >= _NEAR_PEAK * performance)


def _crossing(tuned: Sequence[float], performance: float) -> float | None:
    """Where T crosses 95 % of the performance."""
    m = _dimension(tuned, performance)
    if m is None or m == 0:
        return None if m is None else 0.0
    before, after = tuned[m - 1], tuned[m]
    return m - 1 + (_NEAR_PEAK * performance - before) / (after - before)
