"""Summary of one optimizer: every statistic of its dependence on tuning."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.sensitivity import selection_curves, statistics
from service.sensitivity.axis_summary import summarize_axes
from service.sensitivity.curvature_summary import correlations
from service.sensitivity.dependence import Dependence
from service.sensitivity.further_test_sets import summarize_test_sets
from service.sensitivity.importance import importance
from service.sensitivity.intervals import interval, wilson
from service.sensitivity.optimizer_schemas import (
    CumulativePerformance,
    ExpectedCurve,
    GradientEvaluations,
    NearOptimalFraction,
    OptimizerSummary,
    ScoreStatistics,
    TrialsToTarget,
    Tunability,
)
from service.sensitivity.optimizer_trials import Floats, OptimizerTrials
from service.sensitivity.published_schemas import PublishedMeasures
from service.sensitivity.score_values import oriented_range, score_interval, score_values
from service.sensitivity.scores import Scores
from service.sensitivity.selected_configuration import selected_configuration
from service.sensitivity.strict_schema import Interval, finite
from service.sensitivity.trial_table import TrialTable
from workers import catalog
from workers.catalog import LearningRateRole
from workers.scores import Score

__all__ = [
    "Yardsticks",
    "learning_rate_role",
    "summarize_optimizer",
]

# Longer expected-best curves are thinned to about this many points, evenly in log n.
_CURVE_POINTS = 200


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """Reference values that one optimizer is compared with; scores are oriented.

    Attributes:
        shared_best: Best evaluation score of any optimizer.
        best_val: Best validation score of any optimizer.
        target: Score to reach.
        epsilon: Difference within which a configuration is near-optimal.
        replacement: Whether expected-best curves draw with replacement.
    """

    shared_best: float
    best_val: float
    target: float
    epsilon: float
    replacement: bool


def summarize_optimizer(
    scores: Scores,
    table: TrialTable,
    yardsticks: Yardsticks,
    dependence: Dependence,
    published: PublishedMeasures,
) -> OptimizerSummary:
    """Every statistic of one optimizer; its ``sentence`` is left empty, since it needs all of them.

    Args:
        scores: Of the optimizer; at least one trial has finished.
        table: The whole sweep.
        yardsticks: Reference values.
        dependence: Of the optimizer, on the evaluation scores.
        published: Published measures of the optimizer.
    """
    trials, val, evaluation = scores.trials, scores.val, scores.evaluation
    known = ~np.isnan(val)
    point, intervals = dependence.numbers, _intervals(dependence, table.score)
    point_val, intervals_val = point, intervals
    if table.has_ood:
        on_val = Dependence.on_validation(scores, yardsticks.epsilon)
        point_val, intervals_val = on_val.numbers, _intervals(on_val, table.score)
    shares = importance(scores)
    axes = summarize_axes(
        scores,
        table.axes,
        table.search,
        score=table.score,
        point=point,
        point_val=point_val,
        intervals=intervals,
        shares=shares,
        has_default=dependence.default is not None,
        epsilon=yardsticks.epsilon,
    )
    rate, decay = axes.get("learning_rate"), axes.get("weight_decay")
    n_finished, n_diverged = int(trials.finished.sum()), int(trials.diverged.sum())
    best_curves = selection_curves.expected_best(
        val[known], evaluation[known], replacement=yardsticks.replacement
    )
    n_hits = int((evaluation[known] >= yardsticks.target).sum())
    facts = table.facts.get(trials.label)
    score = table.score
    oracle = score.oriented(float(np.nanmax(evaluation))) if table.has_ood else None
    val_score = _distribution(val, trials.val, score)
    ood_score = _distribution(evaluation, trials.ood, score) if table.has_ood else None
    expected = [_curve(score_values(score, curve), yardsticks.replacement) for curve in best_curves]
    expected_ood = expected[1] if table.has_ood else None
    is_accuracy = score.name == "accuracy"
    return OptimizerSummary(
        optimizer=trials.label,
        title=trials.title,
        optimizer_name=trials.name,
        learning_rate_role=learning_rate_role(table, trials),
        weight_decay_kind=facts.weight_decay_kind if facts else None,
        sentence="",
        n_configs=int(known.sum()),
        n_trials=n_finished,
        n_diverged=n_diverged,
        n_missing=trials.n_planned - n_finished,
        n_raised_to_chance=trials.n_below_chance,
        n_configs_any_diverged=int(trials.diverged.any(axis=1).sum()),
        n_configs_all_diverged=int(trials.all_diverged.sum()),
        divergence_rate=n_diverged / n_finished,
        divergence_rate_interval=wilson(n_diverged, n_finished),
        best_config=selected_configuration(
            scores,
            table,
            yardsticks.best_val,
            intervals.get("selected"),
            intervals_val.get("selected"),
        ),
        oracle_ood_score=oracle,
        oracle_ood_accuracy=oracle if is_accuracy else None,
        ood_score=ood_score,
        val_score=val_score,
        ood_accuracy=ood_score if is_accuracy else None,
        val_accuracy=val_score if is_accuracy else None,
        selection_regret=float(point["selection_regret"]),
        mean_regret=finite(point.get("mean_regret")),
        mean_regret_val=finite(point_val.get("mean_regret")),
        lr_tolerance=rate.tolerance if rate else None,
        lr_sensitivity=rate.sensitivity if rate else None,
        lr_sensitivity_val=rate.sensitivity_val if rate else None,
        lr_sensitivity_wd_marginal=rate.sensitivity_marginal if rate else None,
        wd_sensitivity=decay.sensitivity if decay else None,
        lr_curve=rate.curve if rate else None,
        wd_curve=decay.curve if decay else None,
        axes=axes,
        near_optimal_fraction=_near_optimal(evaluation[known], yardsticks),
        tunability=_tunability(point, scores, dependence.default, score),
        expected_best_val_score=expected[0],
        expected_selected_ood_score=expected_ood,
        expected_max_val_accuracy=expected[0] if is_accuracy else None,
        expected_selected_ood_accuracy=expected_ood if is_accuracy else None,
        cumulative_performance=CumulativePerformance(
            **selection_curves.cumulative_performance(score_values(score, best_curves[0]))
        ),
        hyperparameter_importance=shares.view([axis.name for axis in trials.axes]),
        curvature_correlation=correlations(scores, table, yardsticks.shared_best),
        trials_to_target=TrialsToTarget(
            target=score.oriented(yardsticks.target),
            n_hits=n_hits,
            expected_trials=selection_curves.trials_to_target(
                int(known.sum()), n_hits, replacement=yardsticks.replacement
            ),
        ),
        gradient_evaluations=_cost(trials),
        test_sets=summarize_test_sets(scores, table.chance),
        intervals=_published(
            intervals, intervals_val, score.ood_metric if table.has_ood else score.val_metric
        ),
        published=published,
    )


def learning_rate_role(table: TrialTable, trials: OptimizerTrials) -> LearningRateRole:
    """The role of the learning rate of an optimizer; ``step_size`` if it is unknown."""
    if trials.label in table.facts:
        return table.facts[trials.label].learning_rate_role
    facts = catalog.optimizers.known_facts(trials.name)
    role: LearningRateRole = facts.get("learning_rate_role", "step_size")
    return role


# Names in ``intervals`` of a summary: of statistics on evaluation and on validation scores.
_NAMES = {
    "mean_regret": "mean_regret",
    "selection_regret": "selection_regret",
    "learning_rate.sensitivity": "lr_sensitivity",
    "learning_rate.sensitivity_marginal": "lr_sensitivity_wd_marginal",
    "weight_decay.sensitivity": "wd_sensitivity",
}
_NAMES_VAL = {
    "mean_regret": "mean_regret_val",
    "learning_rate.sensitivity": "lr_sensitivity_val",
}


_LEVELS = ("mean", "selected")
_SIGNED = {"tunability", "off_by", "too_small", "too_large"}


def _intervals(dependence: Dependence, score: Score) -> dict[str, Interval]:
    """Seed intervals of the statistics; those of levels as measured."""
    found = {}
    for name, value in dependence.numbers.items():
        errors = [error[name] for error in dependence.errors]
        made = interval(float(value), errors, _limits(name, score))
        if name in _LEVELS:
            made = score_interval(score, made)
        if made is not None:
            found[name] = made
    return found


def _limits(name: str, score: Score) -> tuple[float, float]:
    """Range of a statistic: gains and losses may be negative, a width is in decades."""
    if name.endswith(".width"):
        return 0.0, math.inf
    if name in _LEVELS:
        return oriented_range(score)
    is_signed = not _SIGNED.isdisjoint(name.split("."))
    return score.signed_differences if is_signed else score.differences


def _published(
    intervals: Mapping[str, Interval], on_val: Mapping[str, Interval], metric: str
) -> dict[str, Interval]:
    """Intervals by the names of the summary; those of axes are with their numbers."""
    named = [
        (intervals, _NAMES),
        (on_val, _NAMES_VAL),
        (intervals, {"mean": f"{metric}.mean"}),
    ]
    found = {names[one]: of[one] for of, names in named for one in names if one in of}
    return found | {one: made for one, made in intervals.items() if one.startswith("tunability.")}


def _distribution(oriented: Floats, trials: Floats, score: Score) -> ScoreStatistics:
    """Spread of a score over configurations."""
    known = score_values(score, oriented[~np.isnan(oriented)])
    low, median, high = np.quantile(known, (0.25, 0.5, 0.75))
    return ScoreStatistics(
        mean=float(known.mean()),
        median=float(median),
        iqm=statistics.interquartile_mean(score_values(score, trials)),
        std=float(known.std(ddof=1)) if known.size > 1 else None,
        iqr=float(high - low),
        min=float(known.min()),
        max=float(known.max()),
    )


def _near_optimal(known: Floats, yardsticks: Yardsticks) -> NearOptimalFraction:
    """Shares of configurations near the best of the optimizer and of the sweep."""
    epsilon = yardsticks.epsilon
    shared = statistics.near_optimal_fraction(known, yardsticks.shared_best, epsilon)
    return NearOptimalFraction(
        epsilon=epsilon,
        own_best=statistics.near_optimal_fraction(known, float(known.max()), epsilon),
        shared_best=shared,
        shared_best_count=round(shared * known.size),
    )


def _tunability(
    point: Mapping[str, Floats], scores: Scores, default: int | None, score: Score
) -> Tunability | None:
    """Gain over the default configuration; None where that was not tried."""
    if default is None:
        return None
    configuration = scores.trials.configuration(default)
    at_default = score.oriented(float(scores.evaluation[default]))
    return Tunability(
        default_learning_rate=configuration.get("learning_rate"),
        default_weight_decay=configuration.get("weight_decay"),
        default_score=at_default,
        default_accuracy=at_default if score.name == "accuracy" else None,
        overall=float(point["tunability.overall"]),
        learning_rate=finite(point.get("tunability.learning_rate")),
        weight_decay=finite(point.get("tunability.weight_decay")),
    )


def _curve(values: Floats, replacement: bool) -> ExpectedCurve:
    """An expected-best curve, thinned if long."""
    n = np.arange(1, values.size + 1)
    if values.size > _CURVE_POINTS:
        n = np.unique(np.rint(np.geomspace(1, values.size, _CURVE_POINTS)).astype(np.int64))
    return ExpectedCurve(
        method="with_replacement" if replacement else "without_replacement",
        configurations=n.tolist(),
        values=values[n - 1].tolist(),
    )


def _cost(trials: OptimizerTrials) -> GradientEvaluations | None:
    """Gradient evaluations of the completed trials."""
    spent = trials.measured(lambda trial: trial.gradient_evaluations)
    spent = spent[~np.isnan(spent)]
    if not spent.size:
        return None
    return GradientEvaluations(per_trial=float(spent.mean()), total=float(spent.sum()))
