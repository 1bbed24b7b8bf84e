"""Functional ANOVA by a random forest; takes a second to import, so import it where needed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

from service.sensitivity.hyperparameters import Axis
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.statistics import VarianceShares

__all__ = ["forest_anova"]

_SEED = 0
_MAX_DEPTH = 7
"""The cost rises with the square of a tree's leaves, of which there are 128 then, however many
configurations: 1,000 take 2 s and shares change by some thousandths."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def forest_anova(axes: Sequence[Axis], places: NDArray[np.intp], values: Floats) -> VarianceShares:
    """Shares of the variance, averaged over the box that the configurations span.

    Args:
        axes: Of the search; log and linear ones are numeric, ordinal ones are categories.
        places: [N, axes], the index of each configuration's value on each axis.
        values: [N] scores, no NaN.

    Returns:
        Shares without pairs.
    """
    total = values.var()
    if total <= np.finfo(np.float64).eps ** 2:
        return VarianceShares(np.zeros(()), (np.array(math.nan),) * len(axes))
    positions, space = [], {}
    for axis, place in zip(axes, places.T, strict=True):
        on_axis, space[axis.name] = _distribution(axis, place)
        positions.append(on_axis)
    study = optuna.create_study()
    for position, value in zip(zip(*positions, strict=True), values, strict=True):
        params = dict(zip(space, position, strict=True))
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=space, value=float(value))
        )
    shares = FanovaImportanceEvaluator(max_depth=_MAX_DEPTH, seed=_SEED).evaluate(study)
    return VarianceShares(total, tuple(np.array(shares[axis.name]) for axis in axes))


def _distribution(axis: Axis, place: NDArray[np.intp]) -> tuple[list[Any], BaseDistribution]:
    """Positions of configurations on an axis, and the axis; Optuna takes scalar categories only."""
    if axis.scale == "ordinal":
        return place.tolist(), CategoricalDistribution(np.unique(place).tolist())
    numbers = np.array(axis.values, dtype=np.float64)[place]
    numbers = np.log10(numbers) if axis.scale == "log" else numbers
    return numbers.tolist(), FloatDistribution(float(numbers.min()), float(numbers.max()))
