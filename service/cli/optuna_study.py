"""Export of a sweep as an Optuna study, for optuna-dashboard and Optuna's plots.

    study        <name>-<sweep id>, or one per optimizer: <name>-<sweep id>-<optimizer>
    trial        an ended trial of the sweep; its key is the user attribute ``sasam.trial``
    parameters   optimizer, and each axis of the trial's optimizer: choices or ranges; a list such
                 as betas is its JSON text
    values       the objectives of the search; the validation score if it has none
    state        COMPLETE; PRUNED; FAIL for failed, cancelled, and diverged, which has no value

Times are UTC in the storage; Optuna shows them in the time zone of the machine that reads them.

A repeated export adds trials that have ended since; it skips those stored with the same state.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from workers.mlflow_schema import Tag
from workers.spec import Axis, Direction, Range, SweepSpec, TpeSearch, read_stored

if TYPE_CHECKING:
    from service.sweeps.schemas import SweepDetail
    from service.trials.schemas import TrialView

__all__ = ["ExportedStudy", "export_study"]

_STATES = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
    "cancelled": TrialState.FAIL,
}


@dataclass(frozen=True, slots=True)
class ExportedStudy:
    """A study that was written.

    Attributes:
        name: Name of the study.
        added: Number of trials added by this export.
        trials: Number of all trials in the study.
    """

    name: str
    added: int
    trials: int


def export_study(
    storage: str, sweep: SweepDetail, trials: Iterable[TrialView], *, by_optimizer: bool = False
) -> list[ExportedStudy]:
    """Write a sweep's ended trials to an Optuna storage.

    Args:
        storage: URL of the storage, such as ``sqlite:///study.db``.
        sweep: The sweep.
        trials: Trials of the sweep.
        by_optimizer: Write one study per optimizer instead of one for all.
    """
    specification = read_stored(sweep.specification)
    ended = [trial for trial in trials if trial.status in _STATES]
    name = f"{sweep.name}-{sweep.sweep_id}"
    if not by_optimizer:
        return [_write(storage, name, sweep, specification, ended)]
    return [
        _write(
            storage,
            f"{name}-{label}",
            sweep,
            specification,
            [trial for trial in ended if trial.optimizer == label],
        )
        for label in specification.labels
    ]


def _write(
    storage: str,
    name: str,
    sweep: SweepDetail,
    specification: SweepSpec,
    trials: Sequence[TrialView],
) -> ExportedStudy:
    """Write one study."""
    objectives = _objectives(specification)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=[direction for _, direction in objectives],
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # experimental since Optuna 3.2
        study.set_metric_names([metric for metric, _ in objectives])
    study.set_user_attr(Tag.SWEEP.value, sweep.sweep_id)
    for attribute in ("dataset", "model", "search", "training"):
        study.set_user_attr(attribute, sweep.specification[attribute])
    stored = study.get_trials(deepcopy=False)
    known = {(trial.user_attrs.get(Tag.TRIAL.value), trial.state) for trial in stored}
    distributions = {label: _distributions(specification, label) for label in specification.labels}
    metrics = [metric for metric, _ in objectives]
    made = [_frozen(trial, distributions[trial.optimizer], metrics) for trial in trials]
    new = [trial for trial in made if (trial.user_attrs[Tag.TRIAL.value], trial.state) not in known]
    study.add_trials(new)
    return ExportedStudy(name, len(new), len(stored) + len(new))


def _objectives(specification: SweepSpec) -> list[tuple[str, Direction]]:
    """Return the metric and direction of each objective."""
    search = specification.search
    if isinstance(search, TpeSearch):
        return [(objective.metric, objective.direction) for objective in search.objectives]
    score = specification.scored_by
    return [(score.val_metric, score.direction)]


def _parameter_name(specification: SweepSpec, label: str, axis: str) -> str:
    """The parameter of an axis: its name, with the optimizer's label if the kinds of values differ.

    Optuna allows one kind of distribution per parameter and study.
    """
    found = [specification.axes(other).get(axis) for other in specification.labels]
    kinds = {_kind(values) for values in found if values is not None}
    return axis if len(kinds) == 1 else f"{label}.{axis}"


def _kind(axis: Axis) -> object:
    """What Optuna requires to be the same in all trials."""
    return (axis.scale, axis.whole) if isinstance(axis, Range) else "choices"


def _distributions(specification: SweepSpec, label: str) -> dict[str, BaseDistribution]:
    """Return the distribution of each parameter of an optimizer's trials.

    Choices are those of all optimizers that have the axis, as Optuna requires.
    """
    made: dict[str, BaseDistribution] = {"optimizer": CategoricalDistribution(specification.labels)}
    for name, axis in specification.axes(label).items():
        parameter = _parameter_name(specification, label, name)
        if isinstance(axis, tuple) and parameter == name:
            others = (specification.axes(other).get(name, ()) for other in specification.labels)
            axis = tuple(dict.fromkeys(value for other in others for value in other))
        made[parameter] = _distribution(axis)
    return made


def _distribution(axis: Axis) -> BaseDistribution:
    if not isinstance(axis, Range):
        return CategoricalDistribution([_parameter(value) for value in axis])
    is_log = axis.scale == "log"
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=is_log)
    return FloatDistribution(axis.low, axis.high, log=is_log)


def _parameter(value: Any) -> CategoricalChoiceType:
    """A value as a parameter of Optuna, which stores scalars."""
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _frozen(
    trial: TrialView, distributions: dict[str, BaseDistribution], metrics: Sequence[str]
) -> FrozenTrial:
    """Convert a trial; one without a value for every objective is stored as failed."""
    values = [trial.metrics[metric] for metric in metrics if metric in trial.metrics]
    state = _STATES[trial.status]
    if state is TrialState.COMPLETE and len(values) < len(metrics):
        state = TrialState.FAIL
    attributes: dict[str, Any] = {
        Tag.TRIAL.value: trial.key,
        "outcome": trial.status,
        "seed": trial.seed,
        "epoch": trial.epoch,
        **trial.metrics,
    }
    if trial.error:
        attributes["error"] = trial.error
    if trial.mlflow:
        attributes["mlflow"] = trial.mlflow
    made = optuna.trial.create_trial(
        state=state,
        values=values if state is TrialState.COMPLETE else None,
        params=dict(zip(distributions, _values(trial), strict=True)),
        distributions=distributions,
        user_attrs=attributes,
        intermediate_values=_last_value(trial, metrics),
    )
    # With a time zone: Optuna stores UTC and would take a time without a zone for local time, which
    # is ambiguous in the hour when summer time ends.
    made.datetime_complete = trial.ended_at or made.datetime_complete
    made.datetime_start = trial.started_at or made.datetime_complete
    return made


def _values(trial: TrialView) -> list[CategoricalChoiceType]:
    """The values of the parameters of a trial, in the order of their distributions."""
    return [trial.optimizer, *map(_parameter, trial.hyperparameters.values())]


def _last_value(trial: TrialView, metrics: Sequence[str]) -> dict[int, float]:
    """Return the last value of a pruned trial; Optuna stores these for one objective only."""
    value = trial.metrics.get(metrics[0])
    if trial.status != "pruned" or len(metrics) > 1 or value is None:
        return {}
    return {trial.epoch: value}
