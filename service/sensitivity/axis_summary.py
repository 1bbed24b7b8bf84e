"""Dependence of one optimizer on each of its hyperparameters.

Every number is computed by lines of the grid along which one hyperparameter changes; off the grid
only importance is defined. A hyperparameter with one value has no sensitivity, regret or importance
(null, not 0: nothing was varied).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.sensitivity import statistics
from service.sensitivity.hyperparameters import Axis
from service.sensitivity.importance import ImportanceShares
from service.sensitivity.intervals import percentile_interval
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.schemas import AxisSummary, Interval, finite
from service.sensitivity.score_values import score_values
from service.sensitivity.scores import Scores
from workers.hyperparameter_text import axis_titles
from workers.scores import Score
from workers.spec.configuration import thaw_value

__all__ = ["AxisStatistics", "axis_statistics", "summarize_axes"]

_ONE_VALUE = "It has one value only."
_NO_GRID = "A {} search has no lines of equal values; importance is estimated by a random forest."
_NUMBERS = (
    *("kind", "values", "best", "on_edge", "curve", "sensitivity", "sensitivity_val"),
    *("sensitivity_marginal", "regret", "importance", "interactions", "tunability"),
)
_NULLABLE = (*_NUMBERS, "sensitivity_interval", "regret_interval", "importance_interval")
_VARYING = ("sensitivity", "sensitivity_val", "sensitivity_marginal", "regret")
_SHARES = ("importance", "interactions")


@dataclass(frozen=True, slots=True)
class AxisStatistics:
    """Statistics along one hyperparameter of a grid, of scores or of their resamples.

    Attributes:
        curve: [..., values] score at the validation-best choice of all others.
        sensitivity: [...] maximum less mean of the curve.
        sensitivity_val: [...] the same on validation scores.
        sensitivity_marginal: [...] the same with the mean over all others.
        regret: [...], see :func:`service.sensitivity.statistics.axis_regret`.
    """

    curve: Floats
    sensitivity: Floats
    sensitivity_val: Floats
    sensitivity_marginal: Floats
    regret: Floats


def axis_statistics(
    val: Floats, evaluation: Floats, shape: tuple[int, ...]
) -> Iterator[AxisStatistics]:
    """Statistics along each hyperparameter.

    Args:
        val: [..., C] validation scores.
        evaluation: [..., C] evaluation scores; ``val`` itself in a sweep without OOD data.
        shape: Number of values of each hyperparameter.
    """
    for axis in range(len(shape)):
        lines = statistics.along(evaluation, shape, axis)
        val_lines = lines if val is evaluation else statistics.along(val, shape, axis)
        curve = statistics.selected(val_lines, lines)
        sensitivity = statistics.max_minus_mean(curve)
        yield AxisStatistics(
            curve=curve,
            sensitivity=sensitivity,
            sensitivity_val=sensitivity
            if val is evaluation
            else statistics.max_minus_mean(statistics.selected(val_lines, val_lines)),
            sensitivity_marginal=statistics.max_minus_mean(statistics.known_mean(lines)),
            regret=statistics.axis_regret(lines),
        )


def summarize_axes(
    scores: Scores,
    axes: Sequence[Axis],
    search: str,
    *,
    score: Score,
    point: Sequence[AxisStatistics],
    resampled: Sequence[AxisStatistics],
    shares: ImportanceShares,
    gains: Mapping[str, float] | None,
) -> dict[str, AxisSummary]:
    """The summary of each hyperparameter of a sweep, for one optimizer.

    Args:
        scores: Of the optimizer.
        axes: Those of all optimizers of the sweep.
        search: Kind of the search.
        score: What ranks configurations.
        point: Statistics of the optimizer's own axes, in their order; empty off the grid.
        resampled: Likewise under resampling of seeds; empty without an interval.
        shares: Importance of its own axes.
        gains: Tunability of each of its own axes; None where the default was not tried.
    """
    trials = scores.trials
    titles = axis_titles(axis.name for axis in axes)
    found = {}
    for name, title in titles.items():
        index = trials.axis_index(name)
        if index is None:
            reason = f"{trials.title} has no hyperparameter {name} in this search."
            found[name] = _null_where(dict.fromkeys(_NUMBERS, reason), title=title)
            continue
        axis = trials.axes[index]
        reasons = _reasons(axis, search, shares, is_grid=trials.shape is not None, gains=gains)
        fields: dict[str, Any] = {
            "kind": "number" if axis.is_numeric else "category",
            "values": list(map(thaw_value, axis.values)),
            "best": thaw_value(trials.configuration(scores.selected)[name]),
            "on_edge": axis.is_on_edge(trials.configuration(scores.selected)[name]),
            "importance": shares.alone(index),
            "importance_interval": shares.interval(index),
            "interactions": {
                trials.axes[other].name: share for other, share in shares.pairs(index).items()
            },
            "tunability": None if gains is None else gains[name],
        }
        if point:
            fields |= _along(scores, point[index], resampled[index] if resampled else None, score)
        found[name] = _null_where(reasons, title=title, **fields)
    return found


def _along(
    scores: Scores, point: AxisStatistics, resampled: AxisStatistics | None, score: Score
) -> dict[str, Any]:
    """Fields of one axis of a grid."""

    def interval(name: str) -> Interval | None:
        if resampled is None:
            return None
        estimate, resamples = getattr(point, name), getattr(resampled, name)
        return percentile_interval(float(estimate), resamples, scores.n_seeds, score.differences)

    return {
        "curve": [finite(value) for value in score_values(score, point.curve)],
        **{name: finite(getattr(point, name)) for name in _VARYING},
        "sensitivity_interval": interval("sensitivity"),
        "regret_interval": interval("regret"),
    }


def _reasons(
    axis: Axis,
    search: str,
    shares: ImportanceShares,
    *,
    is_grid: bool,
    gains: Mapping[str, float] | None,
) -> dict[str, str]:
    """Why numbers of an axis are null, by name; the last reason counts."""
    reasons: dict[str, str] = {}
    if axis.is_range:
        reasons["values"] = "Its values are drawn from a range."
    if not axis.is_numeric:
        reasons["on_edge"] = "A category has no smallest or largest value."
    if gains is None:
        reasons["tunability"] = "The default configuration was not tried."
    if shares.reason:
        reasons |= dict.fromkeys(_SHARES, shares.reason)
    if not is_grid:
        along = _NO_GRID.format(search)
        reasons |= dict.fromkeys(("curve", *_VARYING, "interactions", "tunability"), along)
    if len(axis) == 1:
        reasons |= dict.fromkeys((*_VARYING, *_SHARES), _ONE_VALUE)
    return reasons


def _null_where(reasons: Mapping[str, str], **fields: Any) -> AxisSummary:
    """A summary in which the numbers that have a reason, and their intervals, are null."""
    null = [name for reason in reasons for name in (reason, f"{reason}_interval")]
    defined = {name: value for name, value in fields.items() if name not in null}
    return AxisSummary(**dict.fromkeys(_NULLABLE) | defined, undefined=dict(reasons))
