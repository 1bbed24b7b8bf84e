"""Precision that a sweep's seeds give: half-width of the interval of a difference of two means.

    half-width = t(0.975; C (n - 1)) * s * sqrt(2 / n)

for two configurations with n seeds each, a seed deviation s, and a variance that is pooled over C
configurations, as in summaries. Source: the two-sample t interval.
"""

from __future__ import annotations

import math

from service.sweeps.schemas import PrecisionView
from workers.scores import Score

__all__ = ["expected_precision", "half_width"]

_MOST_SEEDS = 1000


def expected_precision(
    configurations: int, n_seeds: int, score: Score, deviation: float | None = None
) -> PrecisionView:
    """The precision of a sweep, and the seeds that its score's ``epsilon`` and half of it need.

    Args:
        configurations: C, of one optimizer.
        n_seeds: n.
        score: What ranks configurations.
        deviation: s; by default as much as ``epsilon`` of the score, within which configurations
            count as equally good: 1 point of accuracy, which is usual for small networks, or 0.05
            nats.
    """
    deviation = score.epsilon if deviation is None else deviation
    return PrecisionView(
        score=score.name,
        seed_deviation=deviation,
        half_width=half_width(configurations, n_seeds, deviation) if n_seeds > 1 else None,
        seeds_for={
            f"{wanted:g}": next(
                n
                for n in range(2, _MOST_SEEDS)
                if n == _MOST_SEEDS - 1 or half_width(configurations, n, deviation) <= wanted
            )
            for wanted in (score.epsilon / 2, score.epsilon)
        },
    )


def half_width(configurations: int, n_seeds: int, deviation: float) -> float:
    """Half of the 95 % interval of the difference of two configurations; two seeds at least."""
    from scipy.special import stdtrit  # slow to import

    quantile = float(stdtrit(configurations * (n_seeds - 1), 0.975))
    return quantile * deviation * math.sqrt(2 / n_seeds)
