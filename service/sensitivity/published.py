"""Published measures of a sweep: reads trials and scores, calls ``measures``, explains nulls.

Missing trials (failed, cancelled, pruned, unfinished) are left out; diverged ones count as a
uniform guess, whatever the score. A missing neighbour prevents a certificate. Scores are oriented
(higher is better) until a level is shown, as it was measured.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from service.sensitivity import measures, statistics
from service.sensitivity.local_optimality import local_optimality
from service.sensitivity.optimizer_trials import Floats, OptimizerTrials
from service.sensitivity.published_schemas import (
    BestAtBudget,
    CostToTarget,
    GainMatrix,
    LossSensitivityView,
    PublishedMeasures,
    PublishedOfSweep,
    Reason,
    ScoreProfile,
    TuningCurve,
)
from service.sensitivity.score_values import score_values
from service.sensitivity.scores import Scores
from service.sensitivity.strict_schema import finite
from service.sensitivity.trial_table import TrialTable
from workers.scores import Score

__all__ = [
    "best_at_budget",
    "needs_grid",
    "published_measures",
    "published_of_sweep",
    "smallest_search",
]

_CURVE_POINTS = 24
_BUDGET_POINTS = 12
_TAUS = np.linspace(0.0, 1.0, 21)
_RATE = "learning_rate"


def published_measures(
    scored: Sequence[Scores], table: TrialTable, *, target: float, replacement: bool
) -> list[PublishedMeasures]:
    """The published measures of each optimizer.

    Args:
        scored: The optimizers with a finished trial.
        table: The sweep.
        target: Oriented evaluation score to reach.
        replacement: Whether random searches draw a configuration more than once.
    """
    none: list[None] = [None] * len(scored)
    best = best_at_budget(scored, replacement=replacement) or none
    shared_best = max(float(np.nanmax(scores.evaluation)) for scores in scored)
    return [
        _of_optimizer(scores, table, target, shared_best, probability, replacement)
        for scores, probability in zip(scored, best, strict=True)
    ]


def published_of_sweep(
    scored: Sequence[Scores],
    untuned: Mapping[str, float],
    by_optimizer: Sequence[PublishedMeasures],
    score: Score,
) -> PublishedOfSweep:
    """The published measures over all optimizers.

    Args:
        scored: The optimizers with a finished trial.
        untuned: Evaluation score as measured at the default configuration by label, where it was
            tried.
        by_optimizer: Result of :func:`published_measures`.
        score: What ranks configurations.
    """
    caveats = list(_caveats(by_optimizer))
    labels = [scores.trials.label for scores in scored]
    rows = [untuned.get(label, math.nan) for label in labels]
    tuned = [score.oriented(float(scores.evaluation[scores.selected])) for scores in scored]
    undefined = {
        f"gain_matrix.{label}": Reason(
            code="default_not_tried",
            message="Its default configuration, as far as the catalog knows one, was not tried.",
        )
        for label in labels
        if label not in untuned
    }
    if not untuned:
        undefined["gain_matrix"] = Reason(
            code="default_not_tried",
            message="The default configuration of no optimizer was tried.",
        )
        return PublishedOfSweep(gain_matrix=None, undefined=undefined, caveats=caveats)
    maximize = score.direction == "maximize"
    gains = measures.gain_matrix(np.array(rows), np.array(tuned), maximize=maximize)
    return PublishedOfSweep(
        gain_matrix=GainMatrix(
            optimizers=labels,
            untuned=[finite(value) for value in rows],
            tuned=tuned,
            gains=[[finite(gain) for gain in row] for row in gains],
        ),
        undefined=undefined,
        caveats=caveats,
    )


def best_at_budget(
    scored: Sequence[Scores], *, replacement: bool, most: int | None = None
) -> list[BestAtBudget] | None:
    """Probability of being the best of each optimizer; None with one optimizer.

    Args:
        scored: The optimizers of one sweep.
        replacement: Whether random searches draw a configuration more than once.
        most: Largest budget; by default the smallest number of configurations of any optimizer.
    """
    if len(scored) < 2:
        return None
    known = [~np.isnan(scores.val) for scores in scored]
    budgets = measures.thinned_budgets(most or smallest_search(scored), _BUDGET_POINTS)
    found = measures.probability_of_best(
        [scores.val[one] for scores, one in zip(scored, known, strict=True)],
        [scores.evaluation[one] for scores, one in zip(scored, known, strict=True)],
        budgets,
        replacement=replacement,
    )
    return [
        BestAtBudget(configurations=budgets.tolist(), probabilities=column.tolist())
        for column in found.T
    ]


def smallest_search(scored: Sequence[Scores]) -> int:
    """The smallest number of scored configurations of any optimizer."""
    return min(int((~np.isnan(scores.val)).sum()) for scores in scored)


def _fastest_costs(scores: Scores, target: float) -> Floats:
    """[C, S] gradient evaluations of each trial that reaches a target; infinite for the others."""
    reached = scores.evaluation_trials >= target
    costs = np.where(reached, _costs(scores.trials), np.inf)
    missing = ~scores.trials.finished | (reached & np.isnan(costs))
    return np.where(missing, math.nan, costs)


def needs_grid(table: TrialTable) -> Reason:
    """The reason why a search that is no grid lacks a measure."""
    return Reason(
        code="needs_grid",
        message=f"It needs lines along which one hyperparameter changes; this is a {table.search}"
        " search.",
    )


def _of_optimizer(
    scores: Scores,
    table: TrialTable,
    target: float,
    shared_best: float,
    probability: BestAtBudget | None,
    replacement: bool,
) -> PublishedMeasures:
    """The published measures of one optimizer."""
    found = {
        "loss_sensitivity": _loss_sensitivity(scores, table),
        "probability_of_best": probability
        or Reason(code="one_optimizer", message="The sweep has one optimizer only."),
        "tuning_curve": _tuning_curve(scores, table),
        "score_profile": _score_profile(scores, table.chance, shared_best),
        "local_optimality": needs_grid(table)
        if scores.trials.shape is None
        else local_optimality(scores.trials, scores.selected),
    }
    undefined = {name: measure for name, measure in found.items() if isinstance(measure, Reason)}
    return PublishedMeasures.model_validate(
        {
            **found,
            **dict.fromkeys(undefined),
            "cost_to_target": _cost_to_target(scores, target, replacement, table.score),
            "undefined": undefined,
        }
    )


def _loss_sensitivity(scores: Scores, table: TrialTable) -> LossSensitivityView | Reason:
    """Learning-rate sensitivity in validation loss."""
    trials = scores.trials
    axis = trials.axis_index(_RATE)
    if axis is None or len(trials.axes[axis]) < 2:
        return Reason(
            code="one_learning_rate", message="The search does not vary the learning rate."
        )
    if trials.shape is None:
        return needs_grid(table)
    if table.chance_accuracy <= 0:
        return Reason(
            code="unknown_initial_loss",
            message="The loss at initialisation is unknown, because the number of classes is.",
        )
    losses = trials.measured(lambda trial: trial.val_loss)
    if np.isnan(losses).all():
        return Reason(code="no_loss", message="No trial has recorded a validation loss.")
    losses[trials.diverged] = np.inf
    val = statistics.along(scores.val, trials.shape, axis)
    at = statistics.along(np.arange(scores.val.size, dtype=np.float64), trials.shape, axis)
    chosen = statistics.selected(val, at).astype(np.intp)
    rates = np.array(trials.axes[axis].values, dtype=np.float64)
    found = measures.loss_sensitivity(rates, losses[chosen], -math.log(table.chance_accuracy))
    if found is None:
        return Reason(
            code="one_learning_rate",
            message="Fewer than two learning rates have a finished trial with a validation loss.",
        )
    return LossSensitivityView(
        value=found.value,
        log_uniform=found.log_uniform,
        learning_rate_low=found.low,
        learning_rate_high=found.high,
        n_rates=found.n_rates,
        evenly_spaced=found.evenly_spaced,
        best_loss=found.best_loss,
        initial_loss=found.initial_loss,
    )


def _tuning_curve(scores: Scores, table: TrialTable) -> TuningCurve | Reason:
    """Tuning curves of the validation score with simultaneous bands.

    No score that counts is worse than that of a guess, which bounds the bands on that side.
    """
    if table.search == "tpe":
        return Reason(
            code="adaptive_search",
            message="The configurations of an adaptive search are no sample of one distribution.",
        )
    score = table.score
    known = scores.val[~np.isnan(scores.val)]
    budgets = measures.thinned_budgets(known.size, _CURVE_POINTS)
    found = measures.tuning_bands(known, budgets, (table.chance, score.oriented(score.best)))
    # The lower end of a loss is the upper end of its opposite.
    ends = ("low", "high") if score.sign > 0 else ("high", "low")
    curves = {
        name: getattr(found, source)
        for curve in ("median", "mean")
        for name, source in (
            (curve, curve),
            (f"{curve}_low", f"{curve}_{ends[0]}"),
            (f"{curve}_high", f"{curve}_{ends[1]}"),
        )
    }
    return TuningCurve(
        method=found.method,
        confidence=found.confidence,
        is_random_sample=table.search == "random",
        configurations=budgets.tolist(),
        **{
            name: [finite(value) for value in score_values(score, values)]
            for name, values in curves.items()
        },
    )


def _cost_to_target(scores: Scores, target: float, replacement: bool, score: Score) -> CostToTarget:
    """Trials and gradient evaluations until the target."""
    known = ~np.isnan(scores.evaluation)
    costs = statistics.known_mean(_costs(scores.trials))[known]
    found = measures.target_cost(scores.evaluation[known] >= target, costs, replacement=replacement)
    return CostToTarget(
        target=score.oriented(target),
        n_hits=found.n_hits,
        trials=found.trials,
        gradient_evaluations=found.gradient_evaluations,
        fastest_gradient_evaluations=finite(
            measures.fastest_to_target(_fastest_costs(scores, target))
        ),
    )


def _score_profile(scores: Scores, chance: float, shared_best: float) -> ScoreProfile | Reason:
    """Distribution of the normalised scores of all trials."""
    if shared_best <= chance:
        return Reason(code="nothing_learned", message="No optimizer is better than chance.")
    runs = scores.evaluation_trials
    runs = (runs[~np.isnan(runs)] - chance) / (shared_best - chance)
    return ScoreProfile(
        n_runs=runs.size,
        taus=_TAUS.tolist(),
        shares=measures.score_profile(runs, _TAUS).tolist(),
        interquartile_mean=float(measures.interquartile_mean(runs)),
        optimality_gap=float(measures.optimality_gap(runs)),
    )


def _caveats(by_optimizer: Sequence[PublishedMeasures]) -> Iterator[Reason]:
    """What to know of the published measures of a sweep."""
    losses = [one.loss_sensitivity for one in by_optimizer if one.loss_sensitivity]
    if losses:
        yield Reason(
            code="initial_loss_of_uniform_prediction",
            message="The loss at initialisation is taken as that of a uniform prediction,"
            f" {losses[0].initial_loss:.3g}.",
        )
    if len({(loss.learning_rate_low, loss.learning_rate_high) for loss in losses}) > 1:
        yield Reason(
            code="different_learning_rate_ranges",
            message="The optimizers have different ranges of learning rates: their loss"
            " sensitivities are not comparable.",
        )
    if not all(loss.evenly_spaced for loss in losses):
        yield Reason(
            code="unevenly_spaced_learning_rates",
            message="Some learning rates are not evenly spaced on the log axis (†): of loss"
            " sensitivity, log_uniform weighs them by their distances.",
        )
    curves = [one.tuning_curve for one in by_optimizer if one.tuning_curve]
    if any(not curve.is_random_sample for curve in curves):
        yield Reason(
            code="bands_assume_random_draws",
            message="The bands of tuning curves hold for configurations drawn at random; those of"
            " a grid were chosen.",
        )
    if any(one.probability_of_best for one in by_optimizer):
        yield Reason(
            code="scores_taken_as_exact",
            message="The probability of being the best is over random searches, with the scores"
            " that were measured: more seeds may change them.",
        )
    if any(one.local_optimality and one.local_optimality.certain for one in by_optimizer):
        yield Reason(
            code="selected_configuration_flattered",
            message="A certificate of local optimality compares with a configuration that was"
            " selected for its score: fresh seeds of it and its neighbours decide.",
        )


def _costs(trials: OptimizerTrials) -> Floats:
    """[C, S] gradient evaluations of the finished trials, diverged ones too; NaN if unknown."""
    spent = [
        [
            math.nan
            if trial is None or trial.gradient_evaluations is None
            else trial.gradient_evaluations
            for trial in of_config
        ]
        for of_config in trials.results
    ]
    costs = np.array(spent, dtype=np.float64).reshape(trials.outcomes.shape)
    return np.where(trials.finished & np.isfinite(costs), costs, math.nan)
