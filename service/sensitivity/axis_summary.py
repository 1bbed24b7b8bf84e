"""Dependence of one optimizer on each of its hyperparameters.

Every number is computed by lines of the grid along which one hyperparameter changes; off the grid
only importance is defined. A hyperparameter with one value has no sensitivity, regret or importance
(null, not 0: nothing was varied).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.sensitivity import statistics
from service.sensitivity.axis_schemas import AxisSummary, OffByFactor, Tolerance
from service.sensitivity.hyperparameters import Axis
from service.sensitivity.importance import ImportanceShares
from service.sensitivity.measures.tolerance import FACTORS, loss_off_by, width_within
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.score_values import score_values
from service.sensitivity.scores import Scores
from service.sensitivity.strict_schema import Interval, finite
from workers.hyperparameter_text import axis_titles
from workers.scores import Score
from workers.spec.configuration import thaw_value

__all__ = ["axis_curve", "axis_statistics", "summarize_axes"]

_ONE_VALUE = "It has one value only."
_FEW_VALUES = "It has fewer than three values."
_NOT_POSITIVE = "It has values that are no positive numbers, so no factor is between them."
_NO_GRID = "A {} search has no lines of equal values; importance is estimated by a random forest."
_NUMBERS = (
    *("tolerance", "kind", "values", "best", "on_edge", "curve", "sensitivity", "sensitivity_val"),
    *("sensitivity_marginal", "regret", "importance", "interactions", "tunability"),
)
_NULLABLE = (*_NUMBERS, "sensitivity_interval", "regret_interval", "importance_interval")
_VARYING = ("sensitivity", "sensitivity_val", "sensitivity_marginal", "regret")
_SHARES = ("importance", "interactions")
_ON_LINES = ("curve", "tolerance", *_VARYING, "interactions", "tunability")


def axis_curve(by: Floats, values: Floats, shape: tuple[int, ...], axis: int) -> Floats:
    """Scores by the value of one hyperparameter, at the validation-best choice of all others.

    Args:
        by: [..., C] validation scores, which select.
        values: [..., C] scores to read.
        shape: Number of values of each hyperparameter.
        axis: Index of the hyperparameter.

    Returns:
        [..., values].
    """
    return statistics.selected(*(statistics.along(one, shape, axis) for one in (by, values)))


def axis_statistics(
    by: Floats, values: Floats, axes: Sequence[Axis], epsilon: float
) -> Iterator[tuple[str, Floats]]:
    """Statistics along each hyperparameter of a grid, named "<axis>.<statistic>".

    Args:
        by: [..., C] validation scores, which select.
        values: [..., C] scores to read.
        axes: The hyperparameters.
        epsilon: Of W(eps).
    """
    shape = tuple(map(len, axes))
    chosen = statistics.select(by)
    for index, axis in enumerate(axes):
        if len(axis) < 2:
            continue
        lines = statistics.along(values, shape, index)
        curve = axis_curve(by, values, shape, index)
        yield f"{axis.name}.sensitivity", statistics.max_minus_mean(curve)
        marginal = statistics.known_mean(lines)
        yield f"{axis.name}.sensitivity_marginal", statistics.max_minus_mean(marginal)
        yield f"{axis.name}.regret", statistics.axis_regret(lines)
        if not _has_tolerance(axis):
            continue
        at: NDArray[np.intp] = np.unravel_index(chosen, shape)[index]
        numbers = np.array(axis.values, dtype=np.float64)
        for factor in FACTORS:
            small, large = (
                loss_off_by(curve, at, numbers, by_factor) for by_factor in (1 / factor, factor)
            )
            yield f"{axis.name}.too_small.{factor:g}", small
            yield f"{axis.name}.too_large.{factor:g}", large
            yield f"{axis.name}.off_by.{factor:g}", (small + large) / 2
        yield f"{axis.name}.width", width_within(curve, at, numbers, epsilon)[0]


def summarize_axes(
    scores: Scores,
    axes: Sequence[Axis],
    search: str,
    *,
    score: Score,
    point: Mapping[str, Floats],
    point_val: Mapping[str, Floats],
    intervals: Mapping[str, Interval],
    shares: ImportanceShares,
    has_default: bool,
    epsilon: float,
) -> dict[str, AxisSummary]:
    """The summary of each hyperparameter of a sweep, for one optimizer.

    Args:
        scores: Of the optimizer.
        axes: Those of all optimizers of the sweep.
        search: Kind of the search.
        score: What ranks configurations.
        point: Statistics of :func:`axis_statistics`, and "tunability.<axis>" with a default.
        point_val: Likewise on validation scores.
        intervals: Of the statistics of ``point``, where they have one.
        shares: Importance of its own axes.
        has_default: Whether the default configuration was tried.
        epsilon: Of W(eps).
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
        is_grid = trials.shape is not None
        reasons = _reasons(axis, search, shares, is_grid=is_grid, has_default=has_default)
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
            "tunability": finite(point.get(f"tunability.{name}")),
        }
        if trials.shape is not None:
            curve = axis_curve(scores.val, scores.evaluation, trials.shape, index)
            fields |= {
                "curve": [finite(value) for value in score_values(score, curve)],
                **{one: finite(point.get(f"{name}.{one}")) for one in _VARYING},
                "sensitivity_val": finite(point_val.get(f"{name}.sensitivity")),
                "sensitivity_interval": intervals.get(f"{name}.sensitivity"),
                "regret_interval": intervals.get(f"{name}.regret"),
            }
            if _has_tolerance(axis):
                at = trials.places[scores.selected, index]
                fields["tolerance"] = _tolerance(axis, curve, at, point, intervals, epsilon)
        found[name] = _null_where(reasons, title=title, **fields)
    return found


def _has_tolerance(axis: Axis) -> bool:
    """Whether factors between the values of an axis mean something."""
    return len(axis) > 2 and axis.is_numeric and axis.values[0] > 0  # type: ignore[operator]


def _tolerance(
    axis: Axis,
    curve: Floats,
    at: np.intp,
    point: Mapping[str, Floats],
    intervals: Mapping[str, Interval],
    epsilon: float,
) -> Tolerance:
    """S(k) and W(eps) of one axis; a null number has its reason."""
    numbers = np.array(axis.values, dtype=np.float64)
    title = axis_titles([axis.name])[axis.name]

    def side(name: str, factor: float) -> tuple[float | None, str]:
        loss = finite(point[f"{axis.name}.{name}.{factor:g}"])
        sought = numbers[at] * (factor if name == "too_large" else 1 / factor)
        beyond = sought > numbers[-1] * (1 + 1e-9) or sought < numbers[0] * (1 - 1e-9)
        why = "is beyond the grid" if beyond else "is next to a value without a finished trial"
        return loss, "" if loss is not None else f"The {title} {sought:.3g} {why}."

    off = []
    for factor in FACTORS:
        small, why_small = side("too_small", factor)
        large, why_large = side("too_large", factor)
        off.append(
            OffByFactor(
                factor=factor,
                loss=finite(point[f"{axis.name}.off_by.{factor:g}"]),
                loss_interval=intervals.get(f"{axis.name}.off_by.{factor:g}"),
                too_small=small,
                too_small_interval=intervals.get(f"{axis.name}.too_small.{factor:g}"),
                too_large=large,
                too_large_interval=intervals.get(f"{axis.name}.too_large.{factor:g}"),
                reason=" ".join(filter(None, (why_small, why_large))),
            )
        )
    _, is_bound = width_within(curve, np.asarray(at), numbers, epsilon)
    return Tolerance(
        off_by=off,
        epsilon=epsilon,
        width=float(point[f"{axis.name}.width"]),
        width_interval=intervals.get(f"{axis.name}.width"),
        width_is_lower_bound=bool(is_bound),
        decades_tried=float(np.log10(numbers[-1] / numbers[0])),
    )


def _reasons(
    axis: Axis,
    search: str,
    shares: ImportanceShares,
    *,
    is_grid: bool,
    has_default: bool,
) -> dict[str, str]:
    """Why numbers of an axis are null, by name; the last reason counts."""
    reasons: dict[str, str] = {}
    if axis.is_range:
        reasons["values"] = "Its values are drawn from a range."
    if not axis.is_numeric:
        reasons["on_edge"] = "A category has no smallest or largest value."
    if not has_default:
        reasons["tunability"] = "The default configuration was not tried."
    if shares.reason:
        reasons |= dict.fromkeys(_SHARES, shares.reason)
    if not is_grid:
        along = _NO_GRID.format(search)
        reasons |= dict.fromkeys(_ON_LINES, along)
    elif not _has_tolerance(axis):
        reasons["tolerance"] = _FEW_VALUES if len(axis) < 3 else _NOT_POSITIVE
    if len(axis) == 1:
        reasons |= dict.fromkeys((*_VARYING, *_SHARES), _ONE_VALUE)
    return reasons


def _null_where(reasons: Mapping[str, str], **fields: Any) -> AxisSummary:
    """A summary in which the numbers that have a reason, and their intervals, are null."""
    null = [name for reason in reasons for name in (reason, f"{reason}_interval")]
    defined = {name: value for name, value in fields.items() if name not in null}
    return AxisSummary(**dict.fromkeys(_NULLABLE) | defined, undefined=dict(reasons))
