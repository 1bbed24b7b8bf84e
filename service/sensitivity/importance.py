"""Hyperparameter importance: the variance of the score that each explains (functional ANOVA).

On a full grid the shares are exact. Of a random or TPE search they are those of a random forest
fitted to the configurations tried, averaged over the box they span (log or linear as the range;
categories, and listed numbers with a 0 among them, are categories): what is not explained by one
hyperparameter alone is their interaction.

Source: Hutter, Hoos & Leyton-Brown 2014, "An efficient approach for assessing hyperparameter
importance"; the forest is Optuna's, with a fixed seed. Optuna's default, PED-ANOVA, describes the
best configurations instead; it has no interaction and is degenerate on few.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.sensitivity import statistics
from service.sensitivity.intervals import interval
from service.sensitivity.optimizer_schemas import Importance
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.scores import Scores
from service.sensitivity.statistics import VarianceShares
from service.sensitivity.strict_schema import Interval, finite

__all__ = ["MIN_CONFIGURATIONS", "ImportanceShares", "importance"]

MIN_CONFIGURATIONS = 10
"""A forest fitted to fewer is meaningless."""

_INCOMPLETE = "The grid has configurations without a finished trial."
_FLAT = "Every configuration has the same score."


@dataclass(frozen=True, slots=True)
class ImportanceShares:
    """Shares of the variance of the evaluation score of one optimizer.

    Attributes:
        method: How they were computed.
        shares: The shares; None where undefined.
        intervals: Of the share of each hyperparameter alone; empty without seeds.
        reason: Why shares are missing or NaN; empty if they are not.
    """

    method: Literal["exact", "random_forest"]
    shares: VarianceShares | None
    intervals: tuple[Interval | None, ...] = ()
    reason: str = ""

    def alone(self, axis: int) -> float | None:
        """The share that one hyperparameter explains alone."""
        return None if self.shares is None else finite(self.shares.alone[axis])

    def interval(self, axis: int) -> Interval | None:
        """Seed interval of :meth:`alone`; None where all differences are within seed noise."""
        return self.intervals[axis] if self.intervals else None

    def pairs(self, axis: int) -> dict[int, float | None]:
        """Shares that one hyperparameter explains only together with one other, by the other."""
        pairs = {} if self.shares is None else self.shares.pairs
        return {
            other: finite(share)
            for pair, share in pairs.items()
            if axis in pair
            for other in pair
            if other != axis
        }

    def view(self, names: list[str]) -> Importance | None:
        """The shares as a schema; None where undefined."""
        if self.shares is None:
            return None
        alone = dict(zip(names, self.shares.alone, strict=True))
        return Importance(
            method=self.method,
            total_variance=float(self.shares.total),
            learning_rate=finite(alone.get("learning_rate")),
            weight_decay=finite(alone.get("weight_decay")),
            interaction=finite(self.shares.interaction),
        )


def importance(scores: Scores) -> ImportanceShares:
    """Shares of the variance of the evaluation score.

    Undefined for a grid with holes, or fewer than ``MIN_CONFIGURATIONS`` of another search.

    Args:
        scores: Of one optimizer.
    """
    trials, evaluation = scores.trials, scores.evaluation
    if trials.shape is not None:
        return _exact(scores, trials.shape)
    known = ~np.isnan(evaluation)
    if known.sum() < MIN_CONFIGURATIONS:
        reason = f"{known.sum()} configurations have a score; a forest needs {MIN_CONFIGURATIONS}."
        return ImportanceShares("random_forest", None, reason=reason)
    from service.sensitivity.forest_anova import forest_anova  # slow to import: scikit-learn

    shares = forest_anova(trials.axes, trials.places[known], evaluation[known])
    return ImportanceShares("random_forest", shares, reason=_reason(shares))


def _exact(scores: Scores, shape: tuple[int, ...]) -> ImportanceShares:
    """Shares of a grid; undefined if it has holes."""
    if np.isnan(scores.evaluation).any():
        return ImportanceShares("exact", None, reason=_INCOMPLETE)
    shares = statistics.functional_anova(scores.evaluation, shape, with_pairs=True)

    def alone(_: Floats, values: Floats) -> dict[str, Floats]:
        found = statistics.functional_anova(values, shape).alone
        return {str(axis): share for axis, share in enumerate(found)}

    errors = [repeated.errors(alone) for repeated in scores.repeated]
    intervals = tuple(
        interval(float(share), [error[str(axis)] for error in errors], (0.0, 1.0))
        for axis, share in enumerate(shares.alone)
    )
    return ImportanceShares("exact", shares, intervals, _reason(shares))


def _reason(shares: VarianceShares) -> str:
    """Why shares are NaN."""
    return "" if shares.total > 0 else _FLAT
