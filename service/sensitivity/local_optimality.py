"""Certificate of local optimality of the selected configuration, and the cells to run next."""

from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue

from service.sensitivity import measures
from service.sensitivity.hyperparameters import Axis
from service.sensitivity.optimizer_trials import OptimizerTrials
from service.sensitivity.published_schemas import LocalOptimality, MeasuredNeighbour, Reason
from workers.metrics import Outcome
from workers.spec.configuration import Value, thaw_value

__all__ = ["local_optimality"]

_MISSING = (Outcome.FAILED, Outcome.CANCELLED, Outcome.PRUNED)
_MEASURED = ("worse", "equal")
_LOG_RATIO = 2.0  # of the last two listed values with a 0 among them, from which on they are log


def local_optimality(trials: OptimizerTrials, selected: int) -> LocalOptimality | Reason:
    """Compare the selected configuration with its single-axis neighbours.

    Validation selects, so validation scores are compared. An axis that begins at 0 has no neighbour
    below it. A neighbour beyond an edge continues the spacing of the axis.

    Args:
        trials: Of one optimizer, on a grid.
        selected: Index of the selected configuration.
    """
    if trials.shape is None or all(len(axis) < 2 for axis in trials.axes):
        return Reason(code="one_configuration", message="The search varies no hyperparameter.")
    axes = trials.axes
    found = measures.certify(
        trials.val,
        trials.places[selected].tolist(),
        trials.shape,
        ordered=[axis.is_numeric for axis in axes],
        bounded=lambda axis, place: place < 0 and axes[axis].values[0] == 0,
    )
    neighbours = [_view(trials, selected, neighbour) for neighbour in found.neighbours]
    own = {name: thaw_value(value) for name, value in trials.configuration(selected).items()}
    next_cells: list[dict[str, JsonValue]] = [
        {**own, neighbour.hyperparameter: neighbour.value}
        for neighbour in neighbours
        if neighbour.status not in _MEASURED
    ]
    return LocalOptimality(
        holds=found.holds,
        certain=found.certain,
        level=found.level,
        neighbours=neighbours,
        next_cells=next_cells,
    )


def _view(
    trials: OptimizerTrials, selected: int, neighbour: measures.Neighbour
) -> MeasuredNeighbour:
    """One neighbour, with its value and, if it is missing, its outcome."""
    axis = trials.axes[neighbour.axis]
    status: str = neighbour.status
    value: Value
    if status == "off_grid":
        value = _beyond(axis, upward=neighbour.place > 0)
    else:
        value = axis.values[neighbour.place]
        if status == "not_run":
            status = _outcome(trials, selected, neighbour)
    return MeasuredNeighbour.model_validate(
        {
            "hyperparameter": axis.name,
            "value": thaw_value(value),
            "status": status,
            "difference": neighbour.difference,
            "low": neighbour.low,
            "high": neighbour.high,
        }
    )


def _outcome(trials: OptimizerTrials, selected: int, neighbour: measures.Neighbour) -> str:
    """Why a planned neighbour has no score."""
    place = trials.places[selected].copy()
    place[neighbour.axis] = neighbour.place
    at = int(np.ravel_multi_index(tuple(place), trials.shape or ()))
    outcomes = {trial.outcome for trial in trials.results[at] if trial is not None}
    return next((str(outcome) for outcome in _MISSING if outcome in outcomes), "not_run")


def _beyond(axis: Axis, *, upward: bool) -> float:
    """The value beyond an end of an axis."""
    values: Sequence[float] = axis.values  # type: ignore[assignment]  # only numbers have an end
    listed = axis.scale == "ordinal" and upward and len(values) > 2 and values[-2] > 0
    return measures.next_value(
        values,
        upward=upward,
        is_log=axis.scale == "log" or (listed and values[-1] >= _LOG_RATIO * values[-2]),
        is_integer=all(isinstance(value, int) for value in values),
    )
