"""Summary of one optimizer: every statistic of its dependence on tuning."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.sensitivity import flatness_correlation, selection_curves, statistics
from service.sensitivity.curvature_summary import correlations, curvature_at
from service.sensitivity.importance import importance
from service.sensitivity.intervals import percentile_interval, wilson
from service.sensitivity.optimizer_trials import Floats, OptimizerTrials
from service.sensitivity.schemas import (
    AccuracyStatistics,
    BestConfig,
    CumulativePerformance,
    CurvatureValue,
    ExpectedCurve,
    GradientEvaluations,
    Interval,
    NearOptimalFraction,
    OnGridEdge,
    OptimizerSummary,
    TrialsToTarget,
    Tunability,
    finite,
)
from service.sensitivity.scores import Scores
from service.sensitivity.trial_result import TrialResult
from service.sensitivity.trial_table import TrialTable
from workers import catalog
from workers.catalog import LearningRateRole

__all__ = [
    "Yardsticks",
    "learning_rate_role",
    "summarize_optimizer",
]

# Longer expected-best curves are thinned to about this many points, evenly in log n.
_CURVE_POINTS = 200

# Range of the statistics that may be negative; the others lie in [0, 1].
_SIGNED = (-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """Reference values that one optimizer is compared with.

    Attributes:
        shared_best: Best evaluation score of any optimizer.
        best_val: Best validation score of any optimizer.
        target: Accuracy to reach.
        epsilon: Accuracy within which a configuration is near-optimal.
        replacement: Whether expected-best curves draw with replacement.
    """

    shared_best: float
    best_val: float
    target: float
    epsilon: float
    replacement: bool


def summarize_optimizer(
    scores: Scores, table: TrialTable, yardsticks: Yardsticks, default: tuple[float, float]
) -> OptimizerSummary:
    """Every statistic of one optimizer; its ``sentence`` is left empty, since it needs all of them.

    Args:
        scores: Of the optimizer; at least one trial has finished.
        table: The whole sweep.
        yardsticks: Reference values.
        default: (learning rate, weight decay) that tunability is relative to.
    """
    trials, val, evaluation = scores.trials, scores.val, scores.evaluation
    known = ~np.isnan(val)
    default_index = _index(table, default) if trials.shape else None
    point = _sensitivity(val, evaluation, trials.shape, default_index)
    n_finished, n_diverged = int(trials.finished.sum()), int(trials.diverged.sum())
    best_curves = selection_curves.expected_best(
        val[known], evaluation[known], replacement=yardsticks.replacement
    )
    n_hits = int((evaluation[known] >= yardsticks.target).sum())
    return OptimizerSummary(
        optimizer=trials.label,
        title=trials.title,
        optimizer_name=trials.name,
        learning_rate_role=learning_rate_role(trials.name),
        sentence="",
        n_configs=int(known.sum()),
        n_trials=n_finished,
        n_diverged=n_diverged,
        n_missing=trials.n_planned - n_finished,
        n_configs_any_diverged=int(trials.diverged.any(axis=1).sum()),
        n_configs_all_diverged=int(trials.all_diverged.sum()),
        divergence_rate=n_diverged / n_finished,
        divergence_rate_interval=wilson(n_diverged, n_finished),
        best_config=_best_config(scores, table, yardsticks.best_val),
        oracle_ood_accuracy=float(np.nanmax(evaluation)) if table.has_ood else None,
        ood_accuracy=_distribution(evaluation, trials.ood_accuracy) if table.has_ood else None,
        val_accuracy=_distribution(val, trials.val_accuracy),
        selection_regret=float(point["selection_regret"]),
        mean_regret=float(point["mean_regret"]),
        mean_regret_val=float(point["mean_regret_val"]),
        **{name: finite(point.get(name)) for name in _GRID_STATISTICS},
        lr_curve=_along(statistics.lr_curve, scores),
        wd_curve=_along(statistics.wd_curve, scores),
        near_optimal_fraction=_near_optimal(evaluation[known], yardsticks),
        tunability=_tunability(point, scores, default, default_index),
        expected_max_val_accuracy=_curve(best_curves[0], yardsticks.replacement),
        expected_selected_ood_accuracy=(
            _curve(best_curves[1], yardsticks.replacement) if table.has_ood else None
        ),
        cumulative_performance=CumulativePerformance(
            **selection_curves.cumulative_performance(best_curves[0])
        ),
        hyperparameter_importance=importance(scores),
        curvature_correlation=correlations(scores, table, yardsticks.shared_best),
        trials_to_target=TrialsToTarget(
            target=yardsticks.target,
            n_hits=n_hits,
            expected_trials=selection_curves.trials_to_target(
                int(known.sum()), n_hits, replacement=yardsticks.replacement
            ),
        ),
        gradient_evaluations=_cost(trials),
        intervals=_intervals(scores, point, default_index, "ood" if table.has_ood else "val"),
    )


def learning_rate_role(optimizer_name: str) -> LearningRateRole:
    """The role of the learning rate of an optimizer; ``step_size`` unless the catalog differs."""
    entry = catalog.optimizers.entries().get(optimizer_name)
    role: LearningRateRole = "step_size"
    return role if entry is None else entry.facts.get("learning_rate_role", role)


_GRID_STATISTICS = (
    "lr_sensitivity",
    "lr_sensitivity_val",
    "lr_sensitivity_wd_marginal",
    "wd_sensitivity",
)


def _sensitivity(
    val: Floats,
    evaluation: Floats,
    shape: tuple[int, int] | None,
    default: tuple[int, int] | None,
) -> dict[str, Floats]:
    """Statistics with a seed interval, of [C] scores or of their [R, C] resamples."""
    found = {
        "mean": statistics.known_mean(evaluation),
        "mean_regret": statistics.max_minus_mean(evaluation),
        "mean_regret_val": statistics.max_minus_mean(val),
        "selection_regret": statistics.selection_regret(val, evaluation),
    }
    if shape is None:
        return found
    val, evaluation = (scores.reshape(*scores.shape[:-1], *shape) for scores in (val, evaluation))
    rates, decays = statistics.lr_curve(val, evaluation), statistics.wd_curve(val, evaluation)
    found |= {
        "lr_sensitivity": statistics.max_minus_mean(rates),
        "lr_sensitivity_val": statistics.max_minus_mean(statistics.lr_curve(val, val)),
        "lr_sensitivity_wd_marginal": statistics.max_minus_mean(statistics.known_mean(evaluation)),
        "wd_sensitivity": statistics.max_minus_mean(decays),
    }
    if default is not None:
        gains = statistics.tunability(val, evaluation, default)
        found |= {f"tunability.{name}": gain for name, gain in gains.items()}
    return found


def _intervals(
    scores: Scores, point: dict[str, Floats], default: tuple[int, int] | None, split: str
) -> dict[str, Interval]:
    """Seed intervals of the statistics of :func:`_sensitivity`."""
    if scores.val_resamples is None or scores.evaluation_resamples is None:
        return {}
    resampled = _sensitivity(
        scores.val_resamples, scores.evaluation_resamples, scores.trials.shape, default
    )
    found: dict[str, Interval] = {}
    for name, resamples in resampled.items():
        limits = _SIGNED if name.startswith("tunability") else (0.0, 1.0)
        interval = percentile_interval(float(point[name]), resamples, scores.n_seeds, limits)
        if interval is not None:
            found[f"{split}_accuracy.mean" if name == "mean" else name] = interval
    return found


def _best_config(scores: Scores, table: TrialTable, best_val: float) -> BestConfig:
    """The selected configuration with all its measurements."""
    trials, at = scores.trials, scores.selected
    rate, decay = float(trials.learning_rates[at]), float(trials.weight_decays[at])
    n_seeds = int(trials.finished[at].sum())

    def seed_interval(estimate: float, resamples: Floats | None) -> Interval | None:
        if resamples is None:
            return None
        return percentile_interval(estimate, resamples[:, at], n_seeds)

    def seed_mean(read: Callable[[TrialResult], float | None]) -> float | None:
        return finite(statistics.known_mean(trials.measured(read, at)))

    def curvatures(metric: str) -> dict[str, CurvatureValue]:
        found = {split: curvature_at(trials, at, metric, split) for split in table.curvature_splits}
        return {split: value for split, value in found.items() if value is not None}

    val, evaluation = float(scores.val[at]), float(scores.evaluation[at])
    evaluation_interval = seed_interval(evaluation, scores.evaluation_resamples)
    return BestConfig(
        learning_rate=rate,
        weight_decay=decay,
        on_grid_edge=OnGridEdge(
            learning_rate=_on_edge(rate, trials.learning_rates),
            weight_decay=_on_edge(decay, trials.weight_decays),
        ),
        val_accuracy=val,
        val_accuracy_interval=seed_interval(val, scores.val_resamples),
        ood_accuracy=evaluation if table.has_ood else None,
        ood_accuracy_interval=evaluation_interval if table.has_ood else None,
        val_loss=seed_mean(lambda trial: trial.val_loss),
        ood_loss=seed_mean(lambda trial: trial.ood_loss),
        hessian_trace=curvatures("hessian_trace"),
        hessian_lambda_max=curvatures("hessian_lambda_max"),
        learned=bool(flatness_correlation.learned(scores.val, best_val, table.chance_accuracy)[at]),
        n_seeds=n_seeds,
    )


def _distribution(scores: Floats, trials: Floats) -> AccuracyStatistics:
    """Spread of accuracy over configurations."""
    known = scores[~np.isnan(scores)]
    low, median, high = np.quantile(known, (0.25, 0.5, 0.75))
    return AccuracyStatistics(
        mean=float(known.mean()),
        median=float(median),
        iqm=statistics.interquartile_mean(trials),
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
    point: dict[str, Floats],
    scores: Scores,
    default: tuple[float, float],
    index: tuple[int, int] | None,
) -> Tunability | None:
    """Gain over the default configuration; None where that was not tried."""
    grid = scores.grid(scores.evaluation)
    if grid is None or index is None or np.isnan(grid[index]):
        return None
    return Tunability(
        default_learning_rate=default[0],
        default_weight_decay=default[1],
        default_accuracy=float(grid[index]),
        overall=float(point["tunability.overall"]),
        learning_rate=float(point["tunability.learning_rate"]),
        weight_decay=float(point["tunability.weight_decay"]),
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


def _along(curve: Callable[[Floats, Floats], Floats], scores: Scores) -> list[float | None] | None:
    """A curve along one axis of the grid; None unless a grid."""
    val, evaluation = scores.grid(scores.val), scores.grid(scores.evaluation)
    if val is None or evaluation is None:
        return None
    return [finite(value) for value in curve(val, evaluation)]


def _index(table: TrialTable, config: tuple[float, float]) -> tuple[int, int] | None:
    """Index of a configuration on the grid; None if outside."""
    rate, decay = config
    if rate not in table.learning_rates or decay not in table.weight_decays:
        return None
    return table.learning_rates.index(rate), table.weight_decays.index(decay)


def _on_edge(value: float, tried: Floats) -> bool:
    """Whether a value is the smallest or largest of several."""
    return bool(tried.min() < tried.max()) and value in (tried.min(), tried.max())
