"""Rank tests between optimizers over shared configurations: Wilcoxon, Friedman, Nemenyi, Holm.

A *block* is a configuration (learning rate, weight decay). Blocks of one grid are not independent
data sets, so every p-value here describes this grid and is no evidence about other workloads.

Sources: Agarwal et al. 2021 (rliable: probability of improvement); Demsar 2006, "Statistical
comparisons of classifiers over multiple data sets" (Wilcoxon, Friedman, Nemenyi's critical
difference); Holm 1979.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

from service.sensitivity.optimizer_trials import Floats

__all__ = [
    "MIN_BLOCKS",
    "critical_difference",
    "friedman",
    "holm",
    "mean_ranks",
    "nemenyi",
    "probability_of_improvement",
    "wilcoxon",
]

# Fewer blocks than this: neither the chi-square of Friedman's test nor the critical difference
# holds.
MIN_BLOCKS = 5

# Up to this many differences the signed-rank distribution is enumerated, beyond it is normal.
_EXACT_WILCOXON = 50


def probability_of_improvement(a: Floats, b: Floats) -> float:
    """P(a trial of A beats one of B at the same configuration), ties half; mean over blocks.

    Args:
        a: [blocks, seeds] trial accuracies, NaN where missing.
        b: [blocks, seeds].

    Returns:
        In [0, 1]; 0.5 is a draw. NaN without a block where both have a trial.
    """
    difference = a[:, :, None] - b[:, None, :]
    known = ~np.isnan(difference)
    wins = np.where(known, (difference > 0) + 0.5 * (difference == 0), 0.0)
    pairs = known.sum(axis=(1, 2))
    per_block = wins.sum(axis=(1, 2))[pairs > 0] / pairs[pairs > 0]
    return float(per_block.mean()) if per_block.size else math.nan


def wilcoxon(differences: Floats) -> tuple[float, int, float]:
    """Wilcoxon's signed-rank test, two-sided; zeros are dropped, ties share ranks.

    Exact up to 50 differences, also with ties (where tables and ``method="exact"`` are not), normal
    beyond.

    Args:
        differences: [blocks] of paired differences.

    Returns:
        W+ (sum of the ranks of positive differences), the number of non-zero differences, and p (1
        without any).
    """
    nonzero = differences[differences != 0]
    if not nonzero.size:
        return 0.0, 0, 1.0
    ranks = stats.rankdata(np.round(np.abs(nonzero), 12))
    statistic = float(ranks[nonzero > 0].sum())
    if nonzero.size > _EXACT_WILCOXON:
        mean = ranks.sum() / 2
        z = abs(statistic - mean) / math.sqrt(float((ranks**2).sum()) / 4)
        return statistic, nonzero.size, float(2 * stats.norm.sf(z))
    doubled = np.rint(2 * ranks).astype(np.int64)  # midranks are halves
    total = int(doubled.sum())
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in doubled:  # each rank is in W+ with probability 1/2
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[: total + 1 - rank]
        chances = (chances + shifted) / 2
    observed = round(2 * statistic)
    tail = min(observed, total - observed)
    return statistic, nonzero.size, min(1.0, float(2 * chances[: tail + 1].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of several p-values, in their order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for done, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - done) * p_values[index]))
        adjusted[index] = running
    return adjusted


def mean_ranks(scores: Floats) -> Floats:
    """Mean rank of each optimizer over blocks; 1 is best, ties share ranks.

    Args:
        scores: [blocks, optimizers], no NaN.
    """
    ranks: Floats = stats.rankdata(-scores, axis=1).mean(axis=0)
    return ranks


def friedman(scores: Floats) -> tuple[float, float]:
    """Friedman's chi-square, corrected for ties, and its p-value.

    Args:
        scores: [blocks, optimizers] of at least three optimizers, no NaN.

    Returns:
        NaN for both when all optimizers tie in every block.
    """
    blocks, k = scores.shape
    ranks = stats.rankdata(-scores, axis=1)
    spread = ((ranks - (k + 1) / 2) ** 2).sum()
    if spread == 0:
        return math.nan, math.nan
    between = blocks * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()
    chi2 = float(blocks * (k - 1) * between / spread)
    return chi2, float(stats.chi2.sf(chi2, k - 1))


def critical_difference(n_optimizers: int, n_blocks: int) -> float:
    """Nemenyi's critical difference of mean ranks at 0.05; smaller ones are not significant.

    CD = q sqrt(k (k + 1) / (6 N)), where q is the 0.95 quantile of the studentized range of k
    groups with infinite degrees of freedom, divided by sqrt(2).
    """
    return _nemenyi_q(n_optimizers) * math.sqrt(n_optimizers * (n_optimizers + 1) / (6 * n_blocks))


@cache
def _nemenyi_q(n_optimizers: int) -> float:
    """The quantile q; cached, because scipy takes milliseconds to find one."""
    return float(stats.studentized_range.ppf(0.95, n_optimizers, np.inf)) / math.sqrt(2)


def nemenyi(ranks: Floats, n_blocks: int) -> Floats:
    """P-values of Nemenyi's test between all pairs of mean ranks, [optimizers, optimizers]."""
    k = ranks.size
    z = np.abs(ranks[:, None] - ranks[None, :]) / math.sqrt(k * (k + 1) / (6 * n_blocks))
    upper = np.triu_indices(k, 1)
    p_values = np.ones((k, k))
    p_values[upper] = stats.studentized_range.sf(z[upper] * math.sqrt(2), k, np.inf)
    return np.minimum(p_values, p_values.T)
