"""Comparison of several sweeps: the same grid on other models, data or code versions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, JsonValue

from service.sensitivity.dotted import flatten
from service.sensitivity.errors import InvalidOptionError
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.schemas import Caveat, SweepSummary
from service.sensitivity.strict_schema import Interval, Schema
from service.sensitivity.sweep_summary import summarize
from service.sensitivity.trial_table import TrialTable
from service.sensitivity.workloads import WorkloadsSummary, compare_workloads
from workers.scores import Score, ScoreName

__all__ = ["ComparedSweep", "Headline", "SweepComparison", "SweepToCompare", "compare_sweeps"]

# Parts of a specification that do not change results.
_WITHOUT_EFFECT = ("name", "tags", "priority", "limits", "resources", "reuse")


@dataclass(frozen=True, slots=True)
class SweepToCompare:
    """A sweep to compare.

    Attributes:
        sweep_id: Its id.
        name: Its name.
        specification: As it was submitted.
        code_version: Commit of the code that ran it; None if unknown.
        table: Its trials.
    """

    sweep_id: str
    name: str
    specification: Mapping[str, Any]
    code_version: str | None
    table: TrialTable


class ComparedSweep(Schema):
    """One of the sweeps."""

    sweep_id: str = Field(examples=["1f0c2a9b77d4"])
    name: str = Field(examples=["paper-vgg19"])
    title: str = Field(
        description="Distinguishes it from the others: its workload, or its workload and name.",
        examples=["VGG-19 on CIFAR-10"],
    )
    workload: str = Field(examples=["VGG-19 on CIFAR-10"])
    code_version: str | None = Field(description="Git commit; null where unknown.")
    complete: bool
    finished_trials: int
    planned_trials: int
    n_seeds: int
    score: ScoreName = Field(default="accuracy", description="What ranks configurations.")
    chance_accuracy: float
    evaluation_split: str = Field(description="ood or validation.")


class Headline(Schema):
    """The most important numbers of one optimizer in one sweep."""

    sweep_id: str
    optimizer: str = Field(examples=["sa-sam"])
    title: str = Field(examples=["SA-SAM"])
    learning_rate: float | None = Field(description="Null where the search does not vary it.")
    weight_decay: float | None = Field(description="Null where the search does not vary it.")
    score: float = Field(
        description="At the configuration validation selects, on the sweep's evaluation split."
    )
    score_interval: Interval | None
    mean_score: float = Field(description="Over all configurations.")
    mean_score_interval: Interval | None
    accuracy: float | None = Field(
        description="This and other keys of accuracy are null where the score is not accuracy."
    )
    accuracy_interval: Interval | None
    mean_accuracy: float | None
    mean_accuracy_interval: Interval | None
    learning_rates: list[float] = Field(
        default=[], description="Those of the grid, rising; empty without any."
    )
    lr_curve: list[float | None] = Field(
        default=[],
        description="For each of them the score of the configuration that validation selects among"
        " all others with it, on the evaluation split.",
    )
    lr_sensitivity: float | None
    lr_sensitivity_interval: Interval | None
    mean_regret: float | None
    mean_regret_interval: Interval | None
    divergence_rate: float
    trials_to_target: float | None
    hyperparameters: dict[str, JsonValue] = Field(
        description="The configuration that validation selects."
    )


class SweepComparison(Schema):
    """Sweeps side by side."""

    sweeps: list[ComparedSweep]
    differing: dict[str, list[str]] = Field(
        description="Differences between the specifications: one value per sweep, by path.",
        examples=[{"model.name": ["vgg19", "vit-small"]}],
    )
    headlines: list[Headline] = Field(description="By sweep, then optimizer.")
    workloads: WorkloadsSummary | None = Field(
        description="Normalised scores and performance profiles, by the sweeps' titles; null with"
        " one workload."
    )
    caveats: list[Caveat]


def compare_sweeps(
    sweeps: Sequence[SweepToCompare], *, epsilon: float | None = None
) -> SweepComparison:
    """Compare sweeps.

    Args:
        sweeps: At least two, all different.
        epsilon: A sweep's target is worse than its best score by this; by default as in
            :func:`summarize`.

    Raises:
        InvalidOptionError: Fewer than two sweeps, one twice, some ranked by accuracy and others by
            loss, or ``epsilon`` is out of range.
        NotAvailableError: A sweep has no finished trial.
    """
    ids = [sweep.sweep_id for sweep in sweeps]
    if len(set(ids)) < 2 or len(set(ids)) < len(ids):
        raise InvalidOptionError(
            "needs_two_sweeps",
            f"Comparing needs at least two different sweeps; got {', '.join(ids) or 'none'}.",
            ("two or more ids of sweeps",),
        )
    _require_one_score(sweeps)
    summaries = [summarize(sweep.table, epsilon=epsilon) for sweep in sweeps]
    titles = _titles(sweeps)
    workloads = {sweep.table.workload for sweep in sweeps}
    tables = {title: sweep.table for title, sweep in zip(titles, sweeps, strict=True)}
    differing = _differing([sweep.specification for sweep in sweeps])
    return SweepComparison(
        sweeps=[
            _compared(sweep, title, summary)
            for sweep, title, summary in zip(sweeps, titles, summaries, strict=True)
        ],
        differing=differing,
        headlines=[
            _headline(sweep.sweep_id, optimizer, sweep.table.score)
            for sweep, summary in zip(sweeps, summaries, strict=True)
            for optimizer in summary.optimizers
        ],
        workloads=compare_workloads(tables, epsilon=epsilon) if len(workloads) > 1 else None,
        caveats=list(_caveats(sweeps, summaries, len(workloads), differing)),
    )


def _require_one_score(sweeps: Sequence[SweepToCompare]) -> None:
    """Refuse sweeps with different scores: an accuracy and a loss have no common scale.

    Raises:
        InvalidOptionError: The scores differ.
    """
    names: dict[str, list[str]] = {}
    for sweep in sweeps:
        names.setdefault(sweep.table.score.name, []).append(sweep.name)
    if len(names) > 1:
        groups = [f"{', '.join(found)} by {name}" for name, found in names.items()]
        raise InvalidOptionError(
            "different_scores",
            f"The sweeps are ranked by different scores ({'; '.join(groups)}).",
            ("sweeps with the same score; set score in the specification to choose it",),
        )


def _titles(sweeps: Sequence[SweepToCompare]) -> list[str]:
    """The shortest titles that distinguish the sweeps."""
    for title in (
        lambda sweep: sweep.table.workload,
        lambda sweep: f"{sweep.table.workload}, {sweep.name}",
        lambda sweep: f"{sweep.table.workload}, {sweep.name} {sweep.sweep_id}",
    ):
        titles = [title(sweep) for sweep in sweeps]
        if len(set(titles)) == len(titles):
            break
    return titles


def _compared(sweep: SweepToCompare, title: str, summary: SweepSummary) -> ComparedSweep:
    """The description of one sweep."""
    return ComparedSweep(
        sweep_id=sweep.sweep_id,
        name=sweep.name,
        title=title,
        workload=sweep.table.workload,
        code_version=sweep.code_version,
        complete=summary.complete,
        finished_trials=summary.finished_trials,
        planned_trials=summary.planned_trials,
        n_seeds=summary.n_seeds,
        score=summary.score,
        chance_accuracy=summary.chance_accuracy,
        evaluation_split=summary.evaluation_split,
    )


def _headline(sweep_id: str, summary: OptimizerSummary, ranked_by: Score) -> Headline:
    """The headline of one optimizer."""
    best, intervals = summary.best_config, summary.intervals
    if best.ood_score is not None and summary.ood_score is not None:
        score, interval, spread = best.ood_score, best.ood_score_interval, summary.ood_score
        metric = ranked_by.ood_metric
    else:
        score, interval, spread = best.val_score, best.val_score_interval, summary.val_score
        metric = ranked_by.val_metric
    scores: dict[str, Any] = {
        "score": score,
        "score_interval": interval,
        "mean_score": spread.mean,
        "mean_score_interval": intervals.get(f"{metric}.mean"),
    }
    is_accuracy = ranked_by.name == "accuracy"
    return Headline(
        sweep_id=sweep_id,
        optimizer=summary.optimizer,
        title=summary.title,
        learning_rate=best.learning_rate,
        weight_decay=best.weight_decay,
        **scores,
        **{
            name.replace("score", "accuracy"): value if is_accuracy else None
            for name, value in scores.items()
        },
        **_lr_curve(summary),
        lr_sensitivity=summary.lr_sensitivity,
        lr_sensitivity_interval=intervals.get("lr_sensitivity"),
        mean_regret=summary.mean_regret,
        mean_regret_interval=intervals.get("mean_regret"),
        divergence_rate=summary.divergence_rate,
        trials_to_target=summary.trials_to_target.expected_trials,
        hyperparameters=best.hyperparameters,
    )


def _lr_curve(summary: OptimizerSummary) -> dict[str, Any]:
    """Learning rates of one optimizer and the score at each; empty if there are none to list."""
    axis = summary.axes.get("learning_rate")
    if axis is None or axis.values is None or axis.curve is None:
        return {}
    points = [
        (value, score)
        for value, score in zip(axis.values, axis.curve, strict=True)
        if isinstance(value, int | float)
    ]
    return {
        "learning_rates": [value for value, _ in points],
        "lr_curve": [score for _, score in points],
    }


def _differing(specifications: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Paths at which specifications differ, with the value of each."""
    flat = [
        {
            path: value if isinstance(value, str) else json.dumps(value)
            for path, value in flatten(one)
        }
        for one in specifications
    ]
    paths = dict.fromkeys(path for values in flat for path in values)
    found = {path: [values.get(path, "") for values in flat] for path in paths}
    return {
        path: values
        for path, values in found.items()
        if len(set(values)) > 1 and path.partition(".")[0] not in _WITHOUT_EFFECT
    }


def _caveats(
    sweeps: Sequence[SweepToCompare],
    summaries: Sequence[SweepSummary],
    n_workloads: int,
    differing: Mapping[str, Sequence[str]],
) -> Iterator[Caveat]:
    """Caveats of the comparison."""
    incomplete = [
        sweep.name for sweep, summary in zip(sweeps, summaries, strict=True) if not summary.complete
    ]
    if incomplete:
        yield Caveat(
            code="incomplete",
            message=f"Not every planned trial of {', '.join(incomplete)} counts; numbers may"
            " change.",
        )
    grids = [path for path in differing if path.startswith("search.")]
    if grids:
        yield Caveat(
            code="different_grids",
            message=f"The sweeps differ in {', '.join(grids)}: sensitivities over other ranges are"
            " not comparable.",
        )
    varying = _with_different_axes(sweeps)
    if varying:
        yield Caveat(
            code="different_spaces",
            message="The sweeps search different hyperparameters of some optimizers: their"
            " selected configurations are comparable, their sensitivities and regrets are not.",
            optimizers=varying,
        )
    if len({summary.evaluation_split for summary in summaries}) > 1:
        yield Caveat(
            code="different_evaluation_splits",
            message="Some sweeps measure OOD scores, others only validation scores.",
        )
    if len({summary.n_seeds for summary in summaries}) > 1:
        yield Caveat(
            code="different_seed_counts",
            message="The sweeps have different numbers of seeds, so their intervals differ in"
            " width.",
        )
    if 1 < n_workloads < len(sweeps):
        yield Caveat(
            code="repeated_workload",
            message="A workload occurs more than once and counts as often in scores and profiles.",
        )


def _with_different_axes(sweeps: Sequence[SweepToCompare]) -> list[str]:
    """Labels of the optimizers that search different hyperparameters in different sweeps."""
    names: dict[str, set[frozenset[str]]] = {}
    for sweep in sweeps:
        for trials in sweep.table.by_optimizer:
            names.setdefault(trials.label, set()).add(frozenset(axis.name for axis in trials.axes))
    return [label for label, found in names.items() if len(found) > 1]
