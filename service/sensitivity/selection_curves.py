"""Expected accuracy as a function of the number of configurations tried.

With N configurations sorted by validation score, x_(1) <= ... <= x_(N), the expected best of n
drawn at random is ``sum_i w_n(i) x_(i)`` with

    without replacement   w_n(i) = C(i - 1, n - 1) / C(N, n)      (default of a grid)
    with replacement      w_n(i) = (i / N)^n - ((i - 1) / N)^n    (default of other searches)

The same weights on another score, in the order of validation, give the expected score *selected by*
validation.

Sources: Dodge et al. 2019, "Show your work"; Tang et al. 2020, "Showing your work doesn't always
work"; Sivaprasad et al. 2020, "Optimizer benchmarking needs to account for hyperparameter tuning".
"""

from collections.abc import Iterator

import numpy as np

from service.sensitivity.optimizer_trials import Floats

__all__ = ["cumulative_performance", "expected_best", "trials_to_target"]


def expected_best(val: Floats, *others: Floats, replacement: bool) -> Floats:
    """Expected scores of the best of n = 1..N configurations, chosen by validation.

    Args:
        val: [N] validation scores, no NaN.
        *others: [N] other scores of the same configurations.
        replacement: Whether a configuration can be drawn twice.

    Returns:
        [1 + others, N]: the expected maximum of ``val``, then the expected selected score of each
        other.
    """
    order = np.argsort(val, kind="stable")
    scores = np.stack([_share_ties(values[order], val[order]) for values in (val, *others)], axis=1)
    curves = np.empty((val.size, scores.shape[1]))
    for n, weights in enumerate(_weights(val.size, replacement)):
        curves[n] = weights @ scores
    return curves.T


def cumulative_performance(curve: Floats) -> dict[str, float]:
    """Weighted means of an expected-maximum curve: the value of a *small* tuning budget.

    ``early`` sum_t w_t E(t) with w_t = (T + 1 - t) / sum favours small budgets, ``late`` large
    ones, ``uniform`` neither; ``one_shot`` is E(1), ``peak`` E(T).

    Source: Sivaprasad et al. 2020 (cumulative performance-early).
    """
    rising = np.arange(1, curve.size + 1, dtype=np.float64)
    rising /= rising.sum()
    return {
        "early": float(rising[::-1] @ curve),
        "uniform": float(curve.mean()),
        "late": float(rising @ curve),
        "one_shot": float(curve[0]),
        "peak": float(curve[-1]),
    }


def trials_to_target(n_configs: int, n_hits: int, *, replacement: bool = False) -> float | None:
    """Expected number of configurations tried until the first that reaches a target.

    (N + 1) / (k + 1) without replacement, N / k with; None when no configuration reaches it.

    Args:
        n_configs: N.
        n_hits: k, configurations at or above the target.
        replacement: Whether a configuration can be drawn twice.
    """
    if not n_hits:
        return None
    return n_configs / n_hits if replacement else (n_configs + 1) / (n_hits + 1)


def _weights(size: int, replacement: bool) -> Iterator[Floats]:
    """w_n for n = 1..N, each from the previous one: no binomial overflows, no N x N matrix."""
    rank = np.arange(1, size + 1, dtype=np.float64)
    if replacement:
        below = np.ones(size + 1)
        for _ in range(size):
            below = below * np.arange(size + 1) / size
            yield np.diff(below)
        return
    weights = np.full(size, 1 / size)
    for n in range(1, size + 1):
        yield weights
        if n < size:
            weights = weights * (rank - n) / n * ((n + 1) / (size - n))


def _share_ties(values: Floats, val: Floats) -> Floats:
    """Mean within each run of equal validation scores, since the winner among them is random."""
    starts = np.flatnonzero(np.r_[True, val[1:] != val[:-1]])
    lengths = np.diff(np.r_[starts, val.size])
    shared: Floats = np.repeat(np.add.reduceat(values, starts) / lengths, lengths)
    return shared
