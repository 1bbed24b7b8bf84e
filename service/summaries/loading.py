"""Loading: stored trials of a sweep as a :class:`~service.sensitivity.TrialTable`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from service.sensitivity import Axis, TrialResult, TrialTable
from service.states import TERMINAL
from service.storage import SweepRow, TrialRow
from workers.catalog import datasets, models
from workers.metrics import SPLITS
from workers.spec import Range, SweepSpec, read_stored
from workers.spec.optimizer_facts import OptimizerFacts, facts_of_optimizer

__all__ = ["axes_of", "trial_table"]

_UNKNOWN_CHANCE = 0.0


def trial_table(sweep: SweepRow, trials: Sequence[TrialRow]) -> TrialTable:
    """Arrange the trials of a sweep on its plan.

    Args:
        sweep: The sweep.
        trials: Its trials, ended or not.
    """
    specification = read_stored(sweep.specification)
    facts = {
        label: facts_of_optimizer(optimizer, specification.files)
        for label, optimizer in zip(specification.labels, specification.optimizers, strict=True)
    }
    titles = _titles(specification, facts)
    return TrialTable.from_results(
        [_result(trial, titles) for trial in trials],
        score=specification.scored_by,
        chance_accuracy=1 / sweep.classes if sweep.classes else _UNKNOWN_CHANCE,
        optimizers=specification.labels,
        axes={label: axes_of(specification, label) for label in specification.labels},
        seeds=specification.seeds,
        search=specification.search.type,
        planned_trials=specification.trial_count,
        facts=facts,
        ended=sweep.state in TERMINAL,
        workload=f"{models.title(specification.model.name)} on"
        f" {datasets.title(specification.dataset.name)}",
    )


def axes_of(specification: SweepSpec, label: str) -> list[Axis]:
    """The axes of one optimizer; those that are ranges without values."""
    return [
        Axis.of(name, (), scale=values.scale, is_range=True)
        if isinstance(values, Range)
        else Axis.of(name, values)
        for name, values in specification.axes(label).items()
    ]


def _titles(specification: SweepSpec, facts: Mapping[str, OptimizerFacts]) -> dict[str, str]:
    """Display names of the optimizers by label: titles, or labels where two would be the same."""
    titles = {
        label: optimizer.label or facts[label].title
        for label, optimizer in zip(specification.labels, specification.optimizers, strict=True)
    }
    counts = Counter(titles.values())
    return {label: title if counts[title] == 1 else label for label, title in titles.items()}


def _result(trial: TrialRow, titles: Mapping[str, str]) -> TrialResult:
    """The result in a row of the trials table."""
    metrics: Mapping[str, Any] = trial.metrics
    return TrialResult(
        key=trial.key,
        optimizer=trial.optimizer,
        optimizer_name=trial.optimizer_name,
        optimizer_title=titles.get(trial.optimizer),
        hyperparameters=trial.hyperparameters,
        seed=trial.seed,
        outcome=trial.outcome,  # type: ignore[arg-type]  # the column holds outcomes
        epochs=trial.epoch,
        val_accuracy=metrics.get("val_accuracy"),
        ood_accuracy=metrics.get("ood_accuracy"),
        val_loss=metrics.get("val_loss"),
        ood_loss=metrics.get("ood_loss"),
        brier=_of_evaluation(metrics, "brier"),
        ece=_of_evaluation(metrics, "ece"),
        hessian_trace=_by_split(metrics, "hessian_trace"),
        hessian_trace_stderr=_by_split(metrics, "hessian_trace_stderr"),
        hessian_lambda_max=_by_split(metrics, "hessian_lambda_max"),
        gradient_evaluations=metrics.get("gradient_evaluations"),
        ood_by_corruption={
            name: value
            for name, value in _by_suffix(metrics, "ood_accuracy").items()
            if name != "benchmark"
        },
        test_accuracy=_by_suffix(metrics, "test_accuracy"),
        test_loss=_by_suffix(metrics, "test_loss"),
    )


def _of_evaluation(metrics: Mapping[str, Any], name: str) -> dict[str, float | None]:
    """A score by split; its metrics have a prefix instead of a suffix."""
    return {"validation": metrics.get(f"val_{name}"), "ood": metrics.get(f"ood_{name}")}


def _by_suffix(metrics: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The values of a metric that has any suffix, by the suffix."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)
    }


def _by_split(metrics: Mapping[str, Any], name: str) -> dict[str, float | None]:
    """A metric by split."""
    return {split: metrics.get(f"{name}.{split}") for split in SPLITS}
