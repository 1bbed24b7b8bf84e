"""Hyperparameter importance: the variance of accuracy that each explains (functional ANOVA).

On a full grid the shares are exact. Of a random or TPE search they are those of a random forest
fitted to the configurations tried, averaged over the box they span (log axes; weight decays with a
0 among them are categories): what is not explained by one of the two alone is their interaction.

Source: Hutter, Hoos & Leyton-Brown 2014, "An efficient approach for assessing hyperparameter
importance"; the forest is Optuna's, with a fixed seed. Optuna's default, PED-ANOVA, describes the
best configurations instead; it has no interaction and is degenerate on few.
"""

import numpy as np

from service.sensitivity import statistics
from service.sensitivity.schemas import Importance, finite
from service.sensitivity.scores import Scores

__all__ = ["MIN_CONFIGURATIONS", "importance"]

MIN_CONFIGURATIONS = 10
"""A forest fitted to fewer is meaningless."""


def importance(scores: Scores) -> Importance | None:
    """Shares of the variance of the evaluation score.

    Args:
        scores: Of one optimizer.

    Returns:
        None for a grid with holes, or fewer than ``MIN_CONFIGURATIONS`` of another search.
    """
    if scores.trials.shape is not None:
        grid = scores.grid(scores.evaluation)
        if grid is None or np.isnan(grid).any():
            return None
        return _importance("exact", statistics.functional_anova(grid))
    known = ~np.isnan(scores.evaluation)
    if known.sum() < MIN_CONFIGURATIONS:
        return None
    from service.sensitivity.forest_anova import forest_anova  # slow to import: scikit-learn

    shares = forest_anova(
        scores.trials.learning_rates[known],
        scores.trials.weight_decays[known],
        scores.evaluation[known],
    )
    return _importance("random_forest", shares)


def _importance(method: str, shares: dict[str, float]) -> Importance:
    return Importance.model_validate(
        {"method": method, **{name: finite(share) for name, share in shares.items()}}
    )
