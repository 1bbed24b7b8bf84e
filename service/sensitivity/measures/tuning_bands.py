"""Simultaneous confidence bands of tuning curves, exact and free of the distribution.

A random search draws N scores from a distribution F. The tuning curve at n is the score of the
best of n draws: its median is F^-1(0.5^(1/n)), its mean the integral of x dF^n(x). A band that
contains F everywhere with probability 95 % gives bands of both that hold for all n at once: the
upper end of F gives the lower end of the curve and vice versa.

The band is that of Learned-Miller & DeStefano (2008), recommended by Lourie et al.: the j-th
smallest of N uniform draws is Beta(j, N + 1 - j); take the equal-tailed interval of each at one
level, the smallest at which all N intervals hold together with probability 95 %. Between the j-th
and the (j+1)-th score F is at least the lower end of the j-th and at most the upper end of the
(j+1)-th.

The level is not simulated: that all order statistics lie within their intervals is the probability
that a Poisson process stays between two step functions, conditional on N events in total, which a
forward recursion over the steps computes exactly. Above 1,000 scores the recursion takes too long,
and the band is that of Kolmogorov and Smirnov (uniform width), exact as well.

Ties make the bands conservative, not wrong. They assume that the configurations are random draws
from the distribution that the tuning curve is about: those of a grid or of an adaptive search are
not.

Source: Lourie, Cho & He 2023, "Show your work with confidence: confidence bands for tuning curves",
    arXiv:2311.09480 (abstract), and their package opda 0.8.0, ``nonparametric.py`` (read): the
    methods "ld_equal_tailed" and "ks", the definition of quantiles and of both curves. Departure:
    opda simulates the level with 100,000 draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, gammaln
from scipy.stats import kstwo

__all__ = ["BandMethod", "TuningBands", "cdf_band", "stays_within", "tuning_bands"]

Floats = NDArray[np.float64]
BandMethod = Literal["ld_equal_tailed", "ks"]

_MOST_EXACT = 1000


@dataclass(frozen=True, slots=True)
class TuningBands:
    """Tuning curves with their simultaneous bands, at each budget.

    Attributes:
        method: Kind of the band of the distribution.
        confidence: Probability that the bands hold at all budgets at once.
        budgets: [B] numbers of draws.
        median: [B] median score of the best.
        median_low: [B]; the worst possible score where the data say nothing.
        median_high: [B]; the best possible score likewise.
        mean: [B] mean score of the best.
        mean_low: [B].
        mean_high: [B].
    """

    method: BandMethod
    confidence: float
    budgets: NDArray[np.int64]
    median: Floats
    median_low: Floats
    median_high: Floats
    mean: Floats
    mean_low: Floats
    mean_high: Floats


def tuning_bands(
    scores: Floats,
    budgets: NDArray[np.int64],
    limits: tuple[float, float],
    *,
    confidence: float = 0.95,
    maximize: bool = True,
) -> TuningBands:
    """Tuning curves of a random search, with simultaneous bands.

    Args:
        scores: [N] of the configurations drawn, no NaN, at least one.
        budgets: [B], positive.
        limits: Smallest and largest possible score; may be infinite, and then an end of the mean's
            band is infinite too.
        confidence: Of the bands, in (0, 1).
        maximize: Whether higher scores are better.
    """
    lower, upper, method = cdf_band(scores.size, confidence)
    values = np.concatenate([limits[:1], np.sort(scores), limits[1:]])

    def curves(cdf: Floats) -> tuple[Floats, Floats]:
        steps = np.concatenate([cdf, [1.0]])  # at the limits and at each score
        return _median(values, steps, budgets, maximize), _mean(values, steps, budgets, maximize)

    median, mean = curves(np.arange(scores.size + 1) / scores.size)
    median_low, mean_low = curves(upper)
    median_high, mean_high = curves(lower)
    return TuningBands(
        method,
        confidence,
        budgets,
        median,
        median_low,
        median_high,
        mean,
        mean_low,
        mean_high,
    )


@lru_cache(maxsize=64)
def cdf_band(size: int, confidence: float) -> tuple[Floats, Floats, BandMethod]:
    """Simultaneous band of a distribution function at and between N order statistics.

    Args:
        size: N, at least 1.
        confidence: In (0, 1).

    Returns:
        Lower and upper end [N + 1]: below the smallest score, then from each score on; and the kind
        of band.
    """
    ranks = np.arange(1, size + 1)
    if size > _MOST_EXACT:
        half = float(kstwo(size).ppf(confidence))
        share = np.arange(size + 1) / size
        return _fixed([np.clip(share - half, 0, 1)]), _fixed([np.clip(share + half, 0, 1)]), "ks"

    def ends(level: float) -> tuple[Floats, Floats]:
        tail = (1 - level) / 2
        rest = size + 1 - ranks
        return betaincinv(ranks, rest, tail), betaincinv(ranks, rest, 1 - tail)

    def excess(log_miss: float) -> float:
        return stays_within(*ends(1 - math.exp(log_miss))) - confidence

    # One interval alone misses with 1 - confidence, all together at most N times as often.
    miss = 1 - confidence
    log_miss = brentq(excess, math.log(miss / size) - 1e-9, math.log(miss) + 1e-9, xtol=1e-13)
    low, high = ends(1 - math.exp(log_miss))
    return _fixed([[0.0], low]), _fixed([high, [1.0]]), "ld_equal_tailed"


def _fixed(parts: Sequence[Floats | list[float]]) -> Floats:
    """One array of several; read-only, as it is cached."""
    whole = np.concatenate(parts)
    whole.setflags(write=False)
    return whole


def stays_within(low: Floats, high: Floats) -> float:
    """Probability that every order statistic of N uniform draws lies within its interval.

    Args:
        low: [N] in [0, 1], not falling.
        high: [N] in [0, 1], not falling.

    Source: the recursion of Noe 1972 in the form with a Poisson process, as in Moscovich & Nadler
        2017, "Fast calculation of boundary crossing probabilities for Poisson processes" (from
        memory; the tests compare it with Steck's determinant).
    """
    size = low.size
    # By time t at least #{high <= t} draws have come, and at most #{low < t} can have.
    times = np.unique(np.concatenate([low, high, [1.0]]))
    most = np.searchsorted(low, times, side="left")
    least = np.searchsorted(high, times, side="right")
    if (least > most).any():
        return 0.0
    log_factorials = gammaln(np.arange(1, size + 2))
    state, first, before = np.ones(1), 0, 0.0
    for time, fewest, largest in zip(times.tolist(), least.tolist(), most.tolist(), strict=True):
        length = largest - first + 1
        rate = size * (time - before)
        if rate > 0:
            likely = int(rate + 12 * math.sqrt(rate)) + 20  # more events have no probability left
            events = np.arange(min(length, likely))
            chance = np.exp(events * math.log(rate) - rate - log_factorials[: events.size])
            state = np.convolve(state, chance)
        state = state[max(0, fewest - first) : length]
        first, before = max(first, fewest), time
        if not state.size:
            return 0.0
    total = math.exp(size * math.log(size) - size - math.lgamma(size + 1))
    return float(state[0] / total)


def _median(values: Floats, cdf: Floats, budgets: NDArray[np.int64], maximize: bool) -> Floats:
    """The smallest value at which F reaches the quantile whose best of n is the median."""
    quantiles = 0.5 ** (1 / budgets)
    if not maximize:
        quantiles = 1 - quantiles
    # The first place belongs to the limit, which counts only with a probability of its own.
    return values[np.searchsorted(cdf, quantiles, side="left")]


def _mean(values: Floats, cdf: Floats, budgets: NDArray[np.int64], maximize: bool) -> Floats:
    """The mean of the best of n; a value without probability does not count, however large."""
    draws = budgets[:, None]
    if maximize:
        weights = np.diff(cdf[None, :] ** draws, axis=1, prepend=0.0)
    else:
        weights = -np.diff((1 - cdf[None, :]) ** draws, axis=1, prepend=1.0)
    counted = weights != 0
    terms = np.where(counted, weights, 0.0) * np.where(counted, values, 0.0)
    mean: Floats = terms.sum(axis=1)
    return mean
