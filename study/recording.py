"""Reduce the summaries of a sweep to the record that the report reads."""

from __future__ import annotations

import os
import platform
from datetime import datetime
from pathlib import Path

from service.client import Client, Sweep
from service.sensitivity import SweepSummary
from service.sensitivity.configuration_schemas import BestConfig
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.schemas import PairComparison
from service.sensitivity.strict_schema import Interval
from service.trials.schemas import TrialView
from study.parts import Part
from study.records import (
    Best,
    EqualCompute,
    Estimate,
    OptimizerRecord,
    PairRecord,
    PartRecord,
    RunRecord,
    TrialRecord,
)

__all__ = ["export_figures", "record_part"]

_DIGITS = 6
_MEASURES = (".sensitivity", ".off_by.2", ".off_by.4", ".off_by.10", ".width")


def record_part(client: Client, sweep: Sweep, part: Part, conditions: str) -> PartRecord:
    """The record of a sweep, ended or not.

    Args:
        client: Of the service that ran it.
        sweep: The sweep.
        part: What it is part of.
        conditions: What else the machine did meanwhile.

    Raises:
        ProblemError: No trial has finished.
    """
    detail = sweep.refresh().detail
    summary = sweep.summary()
    facts = {entry.name: entry.facts for entry in client.catalog().optimizers}
    trials = [trial for trial in sweep.trials() if trial.ended_at is not None]
    return PartRecord(
        part=part.name,
        specification=part.specification.read_text(),
        workload=summary.workload,
        chance_accuracy=summary.chance_accuracy,
        learning_rates=summary.learning_rates,
        weight_decays=summary.weight_decays,
        n_seeds=summary.n_seeds,
        planned_trials=summary.planned_trials,
        finished_trials=summary.finished_trials,
        run=RunRecord(
            code_version=detail.code_version or "unknown",
            machine=_machine(),
            conditions=conditions,
            wall_seconds=_seconds(detail.started_at, detail.ended_at),
            trial_seconds=round(sum(filter(None, map(_duration, trials)))),
            gradient_evaluations=client.sweeps.estimate(part.specification).gradient_evaluations,
        ),
        optimizers=[
            _optimizer(one, facts[one.optimizer_name]["gradient_evaluations_per_step"])
            for one in summary.optimizers
        ],
        pairs=_pairs(summary),
        equal_compute=_equal_compute(sweep),
        trials=[_trial(trial) for trial in trials],
    )


def export_figures(sweep: Sweep, part: Part, folder: Path) -> None:
    """Write the figures of a part that the report shows, as SVG, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in part.figure_files.items():
        (folder / file).write_bytes(sweep.figure_file(name, "svg"))


def _optimizer(summary: OptimizerSummary, evaluations_per_step: float) -> OptimizerRecord:
    """The record of an optimizer."""
    tolerance, mean = summary.lr_tolerance, summary.ood_score
    return OptimizerRecord(
        label=summary.optimizer,
        title=summary.title,
        evaluations_per_step=evaluations_per_step,
        diverged_trials=summary.n_diverged,
        best=_best(summary.best_config),
        mean_ood_accuracy=_estimate(
            mean.mean if mean else None, summary.intervals.get("ood_accuracy.mean")
        ),
        near_best_share=_rounded(summary.near_optimal_fraction.shared_best) or 0.0,
        lr_curve=[_rounded(value) for value in summary.lr_curve or []],
        lr_sensitivity=_estimate(summary.lr_sensitivity, summary.intervals.get("lr_sensitivity")),
        off_by={
            f"{off.factor:g}": _estimate(off.loss, off.loss_interval)
            for off in (tolerance.off_by if tolerance else [])
        },
        width=_estimate(tolerance.width, tolerance.width_interval)
        if tolerance
        else Estimate(value=None),
        width_is_lower_bound=tolerance.width_is_lower_bound if tolerance else False,
        wd_sensitivity=_estimate(summary.wd_sensitivity, summary.intervals.get("wd_sensitivity")),
    )


def _best(config: BestConfig) -> Best:
    """The record of a selected configuration."""
    if config.learning_rate is None or config.weight_decay is None:
        raise ValueError("a part of the study varies learning rate and weight decay")
    return Best(
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        learning_rate_on_edge=bool(config.on_grid_edge.learning_rate),
        val_accuracy=_estimate(config.val_accuracy, config.val_accuracy_interval),
        ood_accuracy=_estimate(config.ood_accuracy, config.ood_accuracy_interval),
    )


def _pairs(summary: SweepSummary) -> list[PairRecord]:
    """The records of all pairs of optimizers."""
    pairs = summary.comparisons.pairs if summary.comparisons else []
    return [PairRecord(a=pair.a, b=pair.b, differences=_differences(pair)) for pair in pairs]


def _differences(pair: PairComparison) -> dict[str, Estimate]:
    """The differences of a pair by name."""
    found = {
        "best": _estimate(pair.best_difference, pair.best_difference_interval),
        "mean": _estimate(pair.mean_difference, pair.mean_difference_interval),
    }
    return found | {
        name: _estimate(one.value, one.interval)
        for name, one in pair.axis_differences.items()
        if name.endswith(_MEASURES)
    }


def _equal_compute(sweep: Sweep) -> EqualCompute | None:
    """The records with every trial cut at the budget that all optimizers spent."""
    summary = sweep.summary(gradient_evaluations="equal")
    if summary.gradient_evaluation_budget is None:
        return None
    return EqualCompute(
        gradient_evaluations=summary.gradient_evaluation_budget,
        best={one.optimizer: _best(one.best_config) for one in summary.optimizers},
        pairs=_pairs(summary),
    )


def _trial(trial: TrialView) -> TrialRecord:
    """The record of a trial."""
    metrics, scores = trial.metrics, trial.scores
    return TrialRecord(
        optimizer=trial.optimizer,
        learning_rate=_number(trial.learning_rate),
        weight_decay=_number(trial.weight_decay),
        seed=trial.seed,
        outcome=trial.status,
        val_accuracy=_rounded(scores.get("val_accuracy")),
        ood_accuracy=_rounded(scores.get("ood_accuracy")),
        hessian_trace=_rounded(metrics.get("hessian_trace.ood")),
        hessian_lambda_max=_rounded(metrics.get("hessian_lambda_max.ood")),
        seconds=_rounded(_duration(trial)),
    )


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("a part of the study varies learning rate and weight decay")
    return value


def _estimate(value: float | None, interval: Interval | None) -> Estimate:
    """A number as it was measured, with its interval."""
    if interval is None:
        return Estimate(value=_rounded(value))
    return Estimate(value=_rounded(value), low=_rounded(interval.low), high=_rounded(interval.high))


def _rounded(value: float | None) -> float | None:
    """A number with six significant digits."""
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _duration(trial: TrialView) -> float | None:
    return _seconds(trial.started_at, trial.ended_at)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def _machine() -> str:
    """Processor, cores and system of this machine."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {names[0] if names else platform.machine()}"
