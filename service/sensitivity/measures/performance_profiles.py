"""Performance profiles over workloads, and the area under them.

    r[s, w]   = t[s, w] / min_s t[s, w]                     cost relative to the lowest
    rho_s(tau) = share of workloads w with r[s, w] <= tau
    B_s       = 1 / (r_max - 1) * integral_1^r_max rho_s(tau) dtau,    r_max = 4

Source: Dolan & More 2002, "Benchmarking optimization software with performance profiles";
    MLCommons, algorithmic-efficiency, docs/DOCUMENTATION.md, "AlgoPerf Benchmark Score via
    Integrated Performance Profiles" (read). Departure: the integral is exact, where its scoring
    code takes the trapezoidal rule over 100 points.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["TAU_MAX", "performance_profile", "performance_ratios", "profile_area"]

Floats = NDArray[np.float64]

TAU_MAX = 4.0


def performance_ratios(costs: Floats) -> Floats:
    """Cost of each method relative to the lowest cost, by workload.

    Args:
        costs: [methods, workloads], NaN where a method does not reach the target.

    Returns:
        [methods, workloads], at least 1; infinite where it does not reach the target.
    """
    known = np.where(np.isnan(costs), np.inf, costs)
    best = known.min(axis=0)
    reached = np.isfinite(best)
    ratios = np.full(costs.shape, np.inf)
    ratios[:, reached] = known[:, reached] / best[reached]
    return ratios


def performance_profile(ratios: Floats, taus: Sequence[float]) -> Floats:
    """rho(tau): share of workloads with a ratio of at most tau.

    Args:
        ratios: [workloads] of one method.
        taus: [points], at least 1.

    Returns:
        [points] in [0, 1], not falling.
    """
    share: Floats = (ratios[None, :] <= np.asarray(taus)[:, None]).mean(axis=1)
    return share


def profile_area(ratios: Floats, tau_max: float = TAU_MAX) -> float:
    """Area under rho from 1 to tau_max over its width; 1 for a method that is best everywhere."""
    return float(np.mean(np.clip(tau_max - ratios, 0.0, None)) / (tau_max - 1))
