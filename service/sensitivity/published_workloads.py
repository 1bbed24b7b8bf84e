"""Published measures over several workloads: reads scores, calls ``measures``, explains nulls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.sensitivity import measures
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.published import best_at_budget, smallest_search
from service.sensitivity.published_schemas import (
    BestAtBudget,
    DimensionView,
    OneForAll,
    PublishedAcrossWorkloads,
    Reason,
    RunAggregates,
)
from service.sensitivity.schemas import SweepSummary
from service.sensitivity.scores import Scores
from service.sensitivity.strict_schema import finite
from service.sensitivity.trial_table import TrialTable
from workers.spec.configuration import Value, thaw_value

__all__ = ["published_across_workloads"]

_SEED = 0  # of the bootstrap; the same trials always give the same intervals
_NOT_EVERYWHERE = Reason(
    code="not_on_every_workload", message="It has no finished trial on some workload."
)
_NO_COMMON = Reason(
    code="no_common_configuration",
    message="No configuration of the same hyperparameters was tried on every workload.",
)


def published_across_workloads(
    labels: Sequence[str],
    tables: Mapping[str, TrialTable],
    summaries: Mapping[str, SweepSummary],
    scored: Mapping[str, Sequence[Scores]],
    taus: Sequence[float],
) -> dict[str, PublishedAcrossWorkloads]:
    """The published measures of every optimizer, by label.

    Args:
        labels: Of all optimizers.
        tables: By workload, at least two.
        summaries: By workload.
        scored: By workload, in the order of the summary.
        taus: Points of the performance profiles.
    """
    by_label = {
        label: {
            name: scores
            for name, of_workload in scored.items()
            for scores in of_workload
            if scores.trials.label == label
        }
        for label in labels
    }
    scales = {name: _Scale.of(of_workload, tables[name]) for name, of_workload in scored.items()}
    runs = {
        label: _selected_runs(own, scales)
        for label, own in by_label.items()
        if len(own) == len(scored)
    }
    best = _best_at_budget(scored, tables)
    costs = _costs(labels, summaries)
    ratios = {name: measures.performance_ratios(values) for name, values in costs.items()}

    def of_optimizer(row: int, label: str) -> PublishedAcrossWorkloads:
        undefined: dict[str, Reason] = {}
        if label not in runs:
            undefined |= dict.fromkeys(("plane", "one_for_all", "runs"), _NOT_EVERYWHERE)
        shared = _shared(by_label[label], scales) if label in runs else None
        if label in runs and shared is None:
            undefined |= dict.fromkeys(("plane", "one_for_all"), _NO_COMMON)
        if label not in best:
            undefined["probability_of_best"] = Reason(
                code="different_optimizers",
                message="It needs the same optimizers, at least two, on every workload.",
            )
        return PublishedAcrossWorkloads(
            plane=None if shared is None else shared.plane(),
            one_for_all=None if shared is None else shared.one_for_all(),
            runs=_aggregates(label, runs) if label in runs else None,
            probability_of_best=best.get(label),
            gradient_evaluations_to_target=_by_workload(tables, costs["tuning"][row]),
            gradient_evaluations_profile=measures.performance_profile(
                ratios["tuning"][row], taus
            ).tolist(),
            gradient_evaluations_score=measures.profile_area(ratios["tuning"][row]),
            fastest_gradient_evaluations=_by_workload(tables, costs["fastest"][row]),
            fastest_profile=measures.performance_profile(ratios["fastest"][row], taus).tolist(),
            fastest_score=measures.profile_area(ratios["fastest"][row]),
            undefined=undefined,
        )

    return {label: of_optimizer(row, label) for row, label in enumerate(labels)}


@dataclass(frozen=True, slots=True)
class _Scale:
    """Normalisations of the oriented scores of one workload.

    Attributes:
        chance: Score of a uniform guess.
        best: Best evaluation score of any optimizer.
        best_val: Best validation score of any optimizer.
        percentiles: Of the evaluation scores of all optimizers and configurations.
    """

    chance: float
    best: float
    best_val: float
    percentiles: measures.PercentileRange

    @classmethod
    def of(cls, scored: Sequence[Scores], table: TrialTable) -> "_Scale":
        """The scale of one workload."""
        pooled = np.concatenate([scores.evaluation for scores in scored])
        return cls(
            chance=table.chance,
            best=float(np.nanmax(pooled)),
            best_val=max(float(np.nanmax(scores.val)) for scores in scored),
            percentiles=measures.percentile_range(pooled),
        )

    def between(self, scores: Floats, best: float) -> Floats:
        """Scores between chance (0) and a best (1); 0 where nothing is better than chance."""
        width = best - self.chance
        if width <= 0:
            return np.where(np.isnan(scores), math.nan, 0.0)
        return (scores - self.chance) / width


@dataclass(frozen=True, slots=True)
class _SharedConfigurations:
    """Scores of one optimizer at H configurations on W workloads; NaN where not tried.

    Attributes:
        workloads: Names.
        axes: Names of the A hyperparameters.
        configurations: The H configurations.
        places: [H, A] index of each value.
        percentile_scores: [H, W] evaluation scores normalised by percentiles.
        val: [H, W] validation scores between chance and best.
        evaluation: [H, W] evaluation scores likewise.
    """

    workloads: tuple[str, ...]
    axes: tuple[str, ...]
    configurations: tuple[tuple[Value, ...], ...]
    places: NDArray[np.intp]
    percentile_scores: Floats
    val: Floats
    evaluation: Floats

    def plane(self) -> DimensionView | None:
        """Performance, sensitivity and effective dimension."""
        found = measures.hyperparameter_dimension(self.percentile_scores, self.places)
        if found is None:
            return None
        return DimensionView(
            performance=found.performance,
            sensitivity=found.sensitivity,
            dimension=found.dimension,
            interpolated=found.interpolated,
            tuned=list(found.tuned),
            subsets=[[self.axes[axis] for axis in subset] for subset in found.subsets],
            configuration=self._configuration(found.chosen),
        )

    def one_for_all(self) -> OneForAll | None:
        """One configuration for all workloads, and with each left out."""
        found = measures.one_configuration(self.val, self.evaluation)
        if found is None:
            return None
        return OneForAll(
            configuration=self._configuration(found.chosen),
            scores=self._named(found.chosen_scores),
            left_out_configurations={
                name: self._configuration(int(at))
                for name, at in zip(self.workloads, found.left_out, strict=True)
            },
            left_out_scores=self._named(found.left_out_scores),
            regrets=self._named(found.regrets),
            mean_regret=float(found.regrets.mean()),
        )

    def _configuration(self, at: int) -> dict[str, Value]:
        values = map(thaw_value, self.configurations[at])
        return dict(zip(self.axes, values, strict=True))

    def _named(self, values: Floats) -> dict[str, float]:
        return dict(zip(self.workloads, values.tolist(), strict=True))


def _shared(
    own: Mapping[str, Scores], scales: Mapping[str, _Scale]
) -> _SharedConfigurations | None:
    """The scores of one optimizer by configuration and workload; None without a common one."""
    names = [tuple(axis.name for axis in scores.trials.axes) for scores in own.values()]
    axes = names[0]
    if any(set(other) != set(axes) for other in names):
        return None
    rows: dict[tuple[Value, ...], int] = {}
    places_of = []
    for scores in own.values():
        keys = [tuple(one[name] for name in axes) for one in scores.trials.configurations]
        places_of.append([rows.setdefault(key, len(rows)) for key in keys])
    size = (len(rows), len(own))
    percentile_scores, val, evaluation = (np.full(size, math.nan) for _ in range(3))
    for column, (name, scores) in enumerate(own.items()):
        at, scale = places_of[column], scales[name]
        percentile_scores[at, column] = scale.percentiles.normalise(scores.evaluation)
        val[at, column] = scale.between(scores.val, scale.best_val)
        evaluation[at, column] = scale.between(scores.evaluation, scale.best)
    if np.isnan(evaluation).any(axis=1).all():
        return None
    values: list[dict[Value, int]] = [{} for _ in axes]
    places = [
        [values[axis].setdefault(value, len(values[axis])) for axis, value in enumerate(key)]
        for key in rows
    ]
    return _SharedConfigurations(
        workloads=tuple(own),
        axes=axes,
        configurations=tuple(rows),
        places=np.array(places, dtype=np.intp).reshape(len(rows), len(axes)),
        percentile_scores=percentile_scores,
        val=val,
        evaluation=evaluation,
    )


def _selected_runs(own: Mapping[str, Scores], scales: Mapping[str, _Scale]) -> list[Floats]:
    """Normalised scores of the seeds of the selected configuration, by workload."""
    found = []
    for name, scores in own.items():
        runs = scores.evaluation_trials[scores.selected]
        found.append(scales[name].between(runs[~np.isnan(runs)], scales[name].best))
    return found


def _aggregates(label: str, runs: Mapping[str, list[Floats]]) -> RunAggregates:
    """Aggregates of the selected runs of one optimizer."""
    own = runs[label]
    pooled = np.concatenate(own)

    def interval(statistic: measures.Statistic) -> tuple[float | None, float | None]:
        rng = np.random.default_rng(_SEED)
        return measures.stratified_interval(own, statistic, rng) or (None, None)

    middle, gap = interval(measures.interquartile_mean), interval(measures.optimality_gap)
    return RunAggregates(
        n_runs=pooled.size,
        interquartile_mean=float(measures.interquartile_mean(pooled)),
        interquartile_mean_low=middle[0],
        interquartile_mean_high=middle[1],
        optimality_gap=float(measures.optimality_gap(pooled)),
        optimality_gap_low=gap[0],
        optimality_gap_high=gap[1],
        probability_of_improvement={
            other: measures.probability_of_improvement(own, theirs)
            for other, theirs in runs.items()
            if other != label
        },
    )


def _best_at_budget(
    scored: Mapping[str, Sequence[Scores]], tables: Mapping[str, TrialTable]
) -> dict[str, BestAtBudget]:
    """Mean over workloads of the probability of being the best, by label; empty if undefined."""
    labels = [sorted(one.trials.label for one in of_workload) for of_workload in scored.values()]
    if len(labels[0]) < 2 or any(other != labels[0] for other in labels):
        return {}
    most = min(smallest_search(of_workload) for of_workload in scored.values())
    found: dict[str, list[BestAtBudget]] = {label: [] for label in labels[0]}
    for name, of_workload in scored.items():
        replacement = tables[name].search != "grid"
        views = best_at_budget(of_workload, replacement=replacement, most=most) or []
        for scores, view in zip(of_workload, views, strict=True):
            found[scores.trials.label].append(view)
    return {
        label: BestAtBudget(
            configurations=views[0].configurations,
            probabilities=np.mean([view.probabilities for view in views], axis=0).tolist(),
        )
        for label, views in found.items()
    }


def _costs(labels: Sequence[str], summaries: Mapping[str, SweepSummary]) -> dict[str, Floats]:
    """[optimizers, workloads] gradient evaluations to the target; NaN where it is not reached."""
    found = {
        name: np.full((len(labels), len(summaries)), math.nan) for name in ("tuning", "fastest")
    }
    for column, summary in enumerate(summaries.values()):
        for optimizer in summary.optimizers:
            row = labels.index(optimizer.optimizer)
            for name, cost in _cost_of(optimizer).items():
                found[name][row, column] = math.nan if cost is None else cost
    return found


def _cost_of(optimizer: OptimizerSummary) -> dict[str, float | None]:
    """Gradient evaluations to the target with tuning, and of the fastest trial."""
    cost = optimizer.published.cost_to_target
    return {
        "tuning": cost.gradient_evaluations,
        "fastest": cost.fastest_gradient_evaluations,
    }


def _by_workload(names: Mapping[str, TrialTable], values: Floats) -> dict[str, float | None]:
    """One number per workload."""
    return {name: finite(value) for name, value in zip(names, values.tolist(), strict=True)}
