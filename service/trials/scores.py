"""Accuracies of a trial as summaries count them: never below chance."""

from __future__ import annotations

from service.storage import TrialRow
from workers.metrics import Outcome

__all__ = ["SCORED", "counted_accuracies"]

SCORED = ("val_accuracy", "ood_accuracy")


def counted_accuracies(trial: TrialRow, classes: int | None) -> dict[str, float]:
    """Accuracies as they enter means, heatmaps and summaries.

    Args:
        trial: Any trial.
        classes: Number of classes of the sweep; None if unknown, then chance is 0.

    Returns:
        By metric: chance, 1 / classes, for a diverged trial; the accuracy, or chance if that is
        higher, for a completed one. Empty for others, which do not count.
    """
    chance = 1 / classes if classes else 0.0
    if trial.outcome == Outcome.DIVERGED:
        return dict.fromkeys((name for name in SCORED if name in trial.metrics), chance)
    if trial.outcome != Outcome.COMPLETED:
        return {}
    return {name: max(trial.metrics[name], chance) for name in SCORED if name in trial.metrics}
