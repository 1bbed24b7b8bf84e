"""How one optimizer depends on tuning: statistics, and their errors on simulated sweeps.

Computed once per optimizer: its summary has the numbers with intervals, and comparisons of pairs
have the differences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from service.sensitivity import statistics
from service.sensitivity.axis_summary import axis_statistics
from service.sensitivity.optimizer_trials import Floats, OptimizerTrials
from service.sensitivity.scores import Scores
from workers.spec.configuration import Value

__all__ = ["Dependence"]


@dataclass(frozen=True, slots=True)
class Dependence:
    """Statistics of one optimizer.

    Attributes:
        numbers: By name: ``mean``, ``selected``, ``selection_regret``, ``mean_regret``,
            ``tunability.<axis>``, and on a grid those of :func:`axis_statistics`.
        errors: The errors of the same statistics in the simulated sweeps, one entry per plausible
            surface of true scores; empty without seed noise.
        default: Index of the configuration that tunability is relative to; None if not tried.
    """

    numbers: Mapping[str, Floats]
    errors: Sequence[Mapping[str, Floats]]
    default: int | None = None

    @classmethod
    def of(
        cls, scores: Scores, epsilon: float, default: Mapping[str, Value] | None = None
    ) -> "Dependence":
        """The statistics of the evaluation scores, selected by validation.

        Args:
            scores: Of the optimizer.
            epsilon: Of W(eps).
            default: Configuration that tunability is relative to; a hyperparameter without a
                default is absent.
        """
        at = None if default is None else _index_of(default, scores.trials)
        tried = None if at is None or np.isnan(scores.evaluation[at]) else at
        measure = partial(_measure, trials=scores.trials, default=tried, epsilon=epsilon)
        errors = [repeated.errors(measure) for repeated in scores.repeated]
        return cls(measure(scores.val, scores.evaluation), errors, tried)

    @classmethod
    def on_validation(cls, scores: Scores, epsilon: float) -> "Dependence":
        """The statistics of the validation scores."""
        measure = partial(_measure, trials=scores.trials, default=None, epsilon=epsilon)
        errors = [repeated.on_validation.errors(measure) for repeated in scores.repeated]
        return cls(measure(scores.val, scores.val), errors)

    def less(self, other: "Dependence") -> "Dependence":
        """The differences of the statistics that both have; errors only where both have them."""
        common = [name for name in self.numbers if name in other.numbers]
        both = zip(self.errors, other.errors, strict=False)
        return Dependence(
            {name: self.numbers[name] - other.numbers[name] for name in common},
            [{name: own[name] - theirs[name] for name in common} for own, theirs in both],
        )


def _measure(
    by: Floats, values: Floats, *, trials: OptimizerTrials, default: int | None, epsilon: float
) -> dict[str, Floats]:
    """Statistics with a seed interval, of scores that select and scores to read, [..., C] each."""
    found = {
        "mean": statistics.known_mean(values),
        "selected": statistics.selected(by, values),
        "selection_regret": statistics.selection_regret(by, values),
    }
    if (~np.isnan(values)).any(axis=tuple(range(values.ndim - 1))).sum() > 1:
        found["mean_regret"] = statistics.max_minus_mean(values)
    if trials.shape is None:
        return found
    found |= axis_statistics(by, values, trials.axes, epsilon)
    if default is not None:
        overall, gains = statistics.tunability(by, values, trials.shape, default)
        found["tunability.overall"] = overall
        for axis, gain in zip(trials.axes, gains, strict=True):
            found[f"tunability.{axis.name}"] = gain
    return found


def _index_of(configuration: Mapping[str, Value], trials: OptimizerTrials) -> int | None:
    """Index of a configuration on the grid; None if it lies outside, or off the grid."""
    if trials.shape is None:
        return None
    place = []
    for axis in trials.axes:
        if axis.name not in configuration or configuration[axis.name] not in axis.values:
            return None
        place.append(axis.values.index(configuration[axis.name]))
    return int(np.ravel_multi_index(place, trials.shape)) if place else 0
