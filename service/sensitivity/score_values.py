"""Values and intervals of a score as measured, from oriented ones, of which the higher is better.

Statistics are computed on oriented scores: accuracy as it is, loss with its sign changed. A
*difference* of them is a cost or a gain for either score. A *level*, such as the mean over
configurations, is turned back for summaries and figures.
"""

from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.strict_schema import Interval
from workers.scores import Score

__all__ = ["oriented_range", "score_interval", "score_values"]


def oriented_range(score: Score) -> tuple[float, float]:
    """Range of an oriented level, for the limits of its interval."""
    low, high = score.differences
    return (low, high) if score.sign > 0 else (-high, -low)


def score_values(score: Score, oriented: Floats) -> Floats:
    """Levels as measured."""
    return oriented if score.sign > 0 else -oriented


def score_interval(score: Score, oriented: Interval | None) -> Interval | None:
    """The interval of a level as measured; None for None."""
    if oriented is None or score.sign > 0:
        return oriented
    estimate = None if oriented.estimate is None else -oriented.estimate
    return Interval(low=-oriented.high, high=-oriented.low, estimate=estimate)
