"""Scores of a trial as summaries count them: never worse than that of a uniform guess."""

from __future__ import annotations

import math

from service.storage import TrialRow
from workers.metrics import Outcome
from workers.scores import Score

__all__ = ["counted_scores"]


def counted_scores(trial: TrialRow, score: Score, classes: int | None) -> dict[str, float]:
    """Scores as they enter means, heatmaps and summaries.

    Args:
        trial: Any trial.
        score: What ranks the configurations of its sweep.
        classes: Number of classes of the sweep; None if unknown, then the accuracy of a guess is 0,
            and its loss is unknown.

    Returns:
        By metric: that of a guess for a diverged trial; for a completed one the score, or that of a
        guess if that is better. Empty for others, which do not count.
    """
    chance = 1 / classes if classes else 0.0
    measured = {name: trial.metrics[name] for name in score.metrics if name in trial.metrics}
    if trial.outcome == Outcome.DIVERGED:
        guess = score.guess(chance)
        return dict.fromkeys(measured, guess) if math.isfinite(guess) else {}
    if trial.outcome != Outcome.COMPLETED:
        return {}
    return {name: score.at_least_guess(value, chance) for name, value in measured.items()}
