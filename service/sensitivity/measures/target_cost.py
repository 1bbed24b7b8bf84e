"""Cost of tuning until a target is reached: trials, and gradient evaluations.

A random search tries N configurations, of which k reach the target, until the first that does. With
c_i the gradient evaluations of configuration i, H those that reach the target and M the others,

    without replacement   trials (N + 1) / (k + 1),  cost  sum_M c_i / (k + 1) + mean_H c_i
    with replacement      trials N / k,              cost  sum_M c_i / k       + mean_H c_i

(each member of M comes before all of H with probability 1 / (k + 1)). Gradient evaluations make
optimizers comparable whose steps cost 1, 2 or 3 of them.

The *fastest* cost is that of AlgoPerf's external tuning: within a study the fastest trial that
reaches the target, and the median over studies; a study without one is infinite and takes part in
the median. Here the studies are the seeds.

Source: the expectations are elementary. AlgoPerf: MLCommons, algorithmic-efficiency,
    docs/DOCUMENTATION.md, "External Tuning Ruleset", and scoring/performance_profile.py (both
    read). Departures: gradient evaluations for wall-clock time, seeds for studies, all
    configurations of the sweep for 5 trials, and a trial's whole cost for the cost at which it
    reaches the target.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TargetCost", "fastest_to_target", "target_cost"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TargetCost:
    """Expected cost of a random search until the first configuration that reaches a target.

    Attributes:
        n_configs: N.
        n_hits: k.
        trials: Expected configurations tried; None if k = 0.
        gradient_evaluations: Expected gradient evaluations, those of the hit included; None if
            k = 0 or no cost is known.
    """

    n_configs: int
    n_hits: int
    trials: float | None
    gradient_evaluations: float | None


def target_cost(hits: NDArray[np.bool_], costs: Floats, *, replacement: bool) -> TargetCost:
    """Expected cost of a random search until a target is reached.

    Args:
        hits: [N], whether each configuration reaches the target.
        costs: [N] gradient evaluations of one trial; NaN where unknown, which counts as the mean of
            the others.
        replacement: Whether a configuration can be drawn twice.
    """
    size, n_hits = hits.size, int(hits.sum())
    if not n_hits:
        return TargetCost(size, 0, None, None)
    known = costs[~np.isnan(costs)]
    spent = None
    if known.size:
        filled = np.where(np.isnan(costs), known.mean(), costs)
        share = n_hits if replacement else n_hits + 1
        spent = float(filled[~hits].sum() / share + filled[hits].mean())
    trials = size / n_hits if replacement else (size + 1) / (n_hits + 1)
    return TargetCost(size, n_hits, trials, spent)


def fastest_to_target(costs: Floats) -> float:
    """Median over studies of the lowest cost at which a trial reaches the target.

    Args:
        costs: [trials, studies] cost at which each trial reaches it; infinite where it does not,
            NaN where there is no trial. A study without trials is left out.

    Returns:
        Infinite where most studies do not reach it; NaN without any study.
    """
    present = ~np.isnan(costs).all(axis=0)
    if not present.any():
        return math.nan
    fastest = np.where(np.isnan(costs), np.inf, costs)[:, present].min(axis=0)
    middle = np.sort(fastest)[[(fastest.size - 1) // 2, fastest.size // 2]]
    return float(middle.mean())  # np.median is NaN between two infinities
