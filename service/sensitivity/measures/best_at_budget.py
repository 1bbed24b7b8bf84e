"""Probability that each optimizer is the best one at a budget of n trials.

    P(a is best at n) = P(X_a(n) > X_b(n) for every b != a),

where X_a(n) is the score of the configuration that validation selects among n drawn at random from
those of a, independently of the other optimizers; equal scores share the win. No simulation: with
p_a and F_a the probability and the cumulative distribution of X_a(n),

    P(a) = sum_v p_a(v) * integral_0^1 prod_{b != a} (F_b(v-) + t p_b(v)) dt,

because 1 / (1 + K) = integral_0^1 t^K dt gives K equal others their share. The integrand is a
polynomial in t, which Gauss-Legendre integrates exactly.

Source: Sivaprasad et al. 2020, "Optimizer benchmarking needs to account for hyperparameter tuning"
    (its abstract and introduction were read; the figure of the probability of being the best by
    budget is cited from memory). They simulate random searches and average over tasks; here the
    expectation is exact, and a comparison of several sweeps averages over workloads.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.sensitivity.measures.random_search import best_of_n_weights

__all__ = ["probability_of_best"]

Floats = NDArray[np.float64]


def probability_of_best(
    selection: Sequence[Floats],
    evaluation: Sequence[Floats],
    budgets: NDArray[np.int64],
    *,
    replacement: bool,
    maximize: bool = True,
) -> Floats:
    """Probability that each optimizer is the best at each budget.

    Args:
        selection: For each of A optimizers [N_a] scores that select, no NaN.
        evaluation: For each [N_a] scores that are compared; they may be the same.
        budgets: [B] numbers of configurations tried, none above the smallest N_a without
            replacement.
        replacement: Whether a configuration can be drawn twice.
        maximize: Whether higher scores are better.

    Returns:
        [B, A]; every row sums to 1.
    """
    sign = 1.0 if maximize else -1.0
    values = np.unique(np.concatenate([sign * scores for scores in evaluation]))
    chance = np.stack(
        [
            _selected_score(
                sign * by,
                sign * scores,
                values,
                best_of_n_weights(by.size, budgets, replacement=replacement),
            )
            for by, scores in zip(selection, evaluation, strict=True)
        ]
    )  # [A, B, V]
    below = np.cumsum(chance, axis=2) - chance
    nodes, weights = np.polynomial.legendre.leggauss(len(chance) // 2 + 1)
    found = np.zeros((len(budgets), len(chance)))
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        at_most = below + node * chance
        for optimizer in range(len(chance)):
            others = np.delete(at_most, optimizer, axis=0).prod(axis=0)
            found[:, optimizer] += weight * (chance[optimizer] * others).sum(axis=1)
    return found


def _selected_score(
    selection: Floats, evaluation: Floats, values: Floats, weights: Floats
) -> Floats:
    """Distribution [B, V] over ``values`` of the evaluation score that selection chooses."""
    order = np.argsort(selection, kind="stable")
    ranked = selection[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    lengths = np.diff(np.r_[starts, ranked.size])
    shared = np.repeat(np.add.reduceat(weights, starts, axis=1) / lengths, lengths, axis=1)
    columns = np.searchsorted(values, evaluation[order])
    found = np.zeros((weights.shape[0], values.size))
    rows = np.arange(weights.shape[0])[:, None]
    np.add.at(found, (rows, columns[None, :]), shared)
    return found
