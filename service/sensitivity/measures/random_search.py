"""Weights of the best of n configurations that a random search draws.

With N scores sorted from worst to best, x_(1) <= ... <= x_(N), the best of n drawn at random is
x_(i) with probability

    with replacement      w_n(i) = (i / N)^n - ((i - 1) / N)^n
    without replacement   w_n(i) = C(i - 1, n - 1) / C(N, n)

Source: Dodge et al. 2019, "Show your work", and Tang et al. 2020, "Showing your work doesn't always
    work" (both formulas read there).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

__all__ = ["best_of_n_weights", "thinned_budgets"]

Floats = NDArray[np.float64]


def best_of_n_weights(size: int, budgets: NDArray[np.int64], *, replacement: bool) -> Floats:
    """Probability that each rank is the best of n draws.

    Args:
        size: N, at least 1.
        budgets: [B] numbers of draws, each in [1, N] (any positive number with replacement).
        replacement: Whether a configuration can be drawn twice.

    Returns:
        [B, N], from the worst rank to the best; every row sums to 1.
    """
    draws = budgets[:, None].astype(np.float64)
    rank = np.arange(1, size + 1, dtype=np.float64)[None, :]
    if replacement:
        weights: Floats = (rank / size) ** draws - ((rank - 1) / size) ** draws
        return weights
    reachable = rank >= draws
    below = np.where(reachable, rank, draws)  # any value in the domain; masked afterwards
    log_weight = gammaln(below) - gammaln(below - draws + 1) - gammaln(draws)
    weights = np.where(reachable, np.exp(log_weight - log_weight[:, -1:]), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def thinned_budgets(size: int, points: int) -> NDArray[np.int64]:
    """Budgets 1..N, thinned to about ``points`` of them, evenly in log n."""
    if size <= points:
        return np.arange(1, size + 1)
    return np.unique(np.rint(np.geomspace(1, size, points)).astype(np.int64))
