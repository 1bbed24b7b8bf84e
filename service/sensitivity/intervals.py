"""Confidence intervals: Wilson for rates, simulated seed noise for everything computed from scores.

A statistic of noisy scores has an error that depends on the true scores: noise lifts a maximum
where configurations are alike, and does not where one stands out. The error is simulated on three
plausible surfaces (:mod:`service.sensitivity.seed_noise`); the interval is the estimate less the
quantiles of the error, the widest over the surfaces, cut at the limits of the statistic. Where the
response is flat it contains 0 for a sensitivity, where it is peaked it is the usual interval of a
difference. The estimand is the statistic with the true scores (infinitely many seeds) of the
configurations that these seeds select. Measured coverage: ``docs/measures.md``.
"""

import math
from collections.abc import Sequence

import numpy as np

from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.seed_noise import N_RESAMPLES
from service.sensitivity.strict_schema import Interval

__all__ = ["CI_METHOD", "CONFIDENCE", "interval", "quantiles", "wilson"]

CONFIDENCE = 0.95
CI_METHOD = (
    "seed noise pooled over configurations, simulated on three plausible surfaces of true scores,"
    f" {N_RESAMPLES} sweeps each; the widest interval counts"
)
_Z = 1.959963984540054  # normal quantile of 0.975

# An error that is undefined in more simulated sweeps than this (such as a learning rate beyond the
# grid) has no interval.
_MOST_UNDEFINED = 0.9


def wilson(successes: int, total: int) -> Interval:
    """Wilson's 95 % score interval of a rate.

    Args:
        successes: In [0, total].
        total: At least 1.

    Source: Wilson 1927. The closed form, because ``scipy.stats.binomtest`` computes the same
        numbers 500 times slower.
    """
    rate = successes / total
    shrink = 1 + _Z**2 / total
    centre = (rate + _Z**2 / (2 * total)) / shrink
    half = _Z * math.sqrt(rate * (1 - rate) / total + _Z**2 / (4 * total**2)) / shrink
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))


def interval(
    estimate: float, errors: Sequence[Floats], limits: tuple[float, float]
) -> Interval | None:
    """Interval of a statistic from its simulated errors.

    Args:
        estimate: The statistic on the trials themselves.
        errors: For each surface [R]; NaN where the statistic is undefined.
        limits: Range of the statistic; of oriented levels `oriented_range`, of costs
            ``score.differences``.

    Returns:
        The interval with the estimate corrected for the median error on the two likely surfaces
        (as observed, and without differences within noise); None without an estimate or seeds, and
        where the statistic is undefined once differences within noise are removed.
    """
    known = [error[~np.isnan(error)] for error in errors]
    if not errors or math.isnan(estimate):
        return None
    if any(k.size <= (1 - _MOST_UNDEFINED) * e.size for k, e in zip(known, errors, strict=True)):
        return None
    tail = (1 - CONFIDENCE) / 2
    ends = [quantiles(error, (tail, 0.5, 1 - tail)) for error in known]
    low = min(max(limits[0], estimate - max(high for _, _, high in ends)), limits[1])
    high = max(min(limits[1], estimate - min(low for low, _, _ in ends)), limits[0])
    corrected = estimate - sum(median for _, median, _ in ends[:2]) / len(ends[:2])
    return Interval(low=low, high=high, estimate=min(max(corrected, low), high))


def quantiles(values: Floats, shares: Sequence[float]) -> list[float]:
    """Quantiles, interpolated between the nearest order statistics.

    The numbers of ``np.quantile``, which takes four times as long for a few thousand values.

    Args:
        values: [N], no NaN.
        shares: In [0, 1].
    """
    places = [share * (values.size - 1) for share in shares]
    below = [min(int(place), values.size - 1) for place in places]
    above = [min(at + 1, values.size - 1) for at in below]
    ordered = np.partition(values, sorted({*below, *above}))
    return [
        _between(float(ordered[low]), float(ordered[high]), place - low)
        for place, low, high in zip(places, below, above, strict=True)
    ]


def _between(low: float, high: float, share: float) -> float:
    """Linear interpolation, from the nearer end as NumPy does."""
    step = high - low
    return low + step * share if share < 0.5 else high - step * (1 - share)
