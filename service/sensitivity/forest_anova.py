"""Functional ANOVA by a random forest; takes a second to import, so import it where needed."""

import math

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

from service.sensitivity.optimizer_trials import Floats

__all__ = ["forest_anova"]

_SEED = 0
_MAX_DEPTH = 7
"""The cost rises with the square of a tree's leaves, of which there are 128 then, however many
configurations: 1,000 take 2 s and shares change by some thousandths."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def forest_anova(rates: Floats, decays: Floats, values: Floats) -> dict[str, float]:
    """Shares of the variance, averaged over the box that the configurations span.

    Args:
        rates: [N] learning rates, above 0.
        decays: [N] weight decays; categories where one is 0, which has no logarithm.
        values: [N] scores, no NaN.

    Returns:
        The keys of :func:`service.sensitivity.statistics.functional_anova`; the interaction is the
        share that neither explains alone.
    """
    total = float(values.var())
    shares = {"learning_rate": math.nan, "weight_decay": math.nan, "interaction": math.nan}
    if total <= np.finfo(np.float64).eps ** 2:
        total = 0.0
    else:
        rate_places, rate_space = _axis(rates)
        decay_places, decay_space = _axis(decays)
        space = {"learning_rate": rate_space, "weight_decay": decay_space}
        study = optuna.create_study()
        for place, value in zip(zip(rate_places, decay_places, strict=True), values, strict=True):
            params = dict(zip(space, place, strict=True))
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=space, value=float(value))
            )
        shares |= FanovaImportanceEvaluator(max_depth=_MAX_DEPTH, seed=_SEED).evaluate(study)
        alone = shares["learning_rate"] + shares["weight_decay"]
        shares["interaction"] = max(0.0, 1.0 - alone)
    return {"total_variance": total, **shares}


def _axis(values: Floats) -> tuple[list[float], BaseDistribution]:
    """Positions of values on their axis, and the axis."""
    if (values == 0).any():
        return values.tolist(), CategoricalDistribution(np.unique(values).tolist())
    places = np.log10(values)
    return places.tolist(), FloatDistribution(float(places.min()), float(places.max()))
