"""Tuning sensitivity of a sweep: statistics, comparisons and caveats."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from service.sensitivity.caveats import caveats_of
from service.sensitivity.curvature_summary import sweep_correlations
from service.sensitivity.dependence import Dependence
from service.sensitivity.errors import InvalidOptionError, NotAvailableError
from service.sensitivity.intervals import CI_METHOD, CONFIDENCE
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.optimizer_summary import Yardsticks, summarize_optimizer
from service.sensitivity.optimizer_trials import CURVATURE_METRICS, OptimizerTrials
from service.sensitivity.pairwise import compare
from service.sensitivity.published import published_measures, published_of_sweep
from service.sensitivity.schemas import SweepSummary
from service.sensitivity.score_values import oriented_range
from service.sensitivity.scores import score
from service.sensitivity.sentences import sentence, unscored
from service.sensitivity.statistics import SCORE_DECIMALS
from service.sensitivity.trial_table import TrialTable
from workers.catalog import optimizers
from workers.metrics import Outcome
from workers.scores import Score
from workers.spec.configuration import Value, thaw_value

__all__ = [
    "Budget",
    "at_budget",
    "common_budget",
    "summarize",
]

Budget = float | Literal["equal"]


def summarize(
    table: TrialTable,
    *,
    target: float | None = None,
    epsilon: float | None = None,
    defaults: Mapping[str, Mapping[str, Value]] | None = None,
    replacement: bool | None = None,
    gradient_evaluations: Budget | None = None,
) -> SweepSummary:
    """Summarise a sweep, finished or not.

    Args:
        table: The trials.
        target: Score for ``trials_to_target``, an accuracy in [0, 1] or a loss; by default worse by
            ``epsilon`` than the best of all optimizers.
        epsilon: Difference from the best within which a configuration is near-optimal; by default
            that of the score: 0.01 of accuracy, 0.05 nats of loss.
        defaults: Configuration that ``tunability`` is relative to, by optimizer label or catalog
            name; by default PyTorch's learning rate 1e-3 and weight decay 0, for SA-SGD and SA-SAM
            an initial step size of 1e-4. Tunability is null where a hyperparameter has no default.
        replacement: Whether expected-best curves draw configurations with replacement; by default
            not on a grid.
        gradient_evaluations: Cut every trial at this budget: equal compute instead of equal epochs.
            "equal" takes :func:`common_budget`. Needs histories; OOD accuracy and curvature are
            not available then.

    Raises:
        NotAvailableError: No trial has finished (within the budget), or there are no histories.
        InvalidOptionError: ``target``, ``epsilon`` or the budget is out of range.
    """
    ranked_by = table.score
    _require_valid("target", target, ranked_by)
    _require_valid("epsilon", epsilon, ranked_by)
    epsilon = ranked_by.epsilon if epsilon is None else epsilon
    table, budget = at_budget(table, gradient_evaluations)
    scored = score(table)
    shared_best = max(float(np.nanmax(scores.evaluation)) for scores in scored)
    yardsticks = Yardsticks(
        shared_best=shared_best,
        best_val=max(float(np.nanmax(scores.val)) for scores in scored),
        target=round(max(shared_best - epsilon, oriented_range(ranked_by)[0]), SCORE_DECIMALS)
        if target is None
        else ranked_by.oriented(target),
        epsilon=epsilon,
        replacement=table.search != "grid" if replacement is None else replacement,
    )
    published = published_measures(
        scored, table, target=yardsticks.target, replacement=yardsticks.replacement
    )
    dependences = [
        Dependence.of(scores, epsilon, _default(scores.trials, defaults or {})) for scores in scored
    ]
    summaries = [
        summarize_optimizer(scores, table, yardsticks, dependence, measures)
        for scores, dependence, measures in zip(scored, dependences, published, strict=True)
    ]
    flattest = _flattest(summaries, table.curvature_splits)
    correlation = sweep_correlations([summary.curvature_correlation for summary in summaries])
    summaries = [
        summary.model_copy(update={"sentence": sentence(summary, flattest, correlation, ranked_by)})
        for summary in summaries
    ]
    return SweepSummary(
        workload=table.workload,
        search=table.search,
        complete=table.complete,
        ended=table.ended,
        gradient_evaluation_budget=budget,
        learning_rates=_numbers(table, "learning_rate"),
        weight_decays=_numbers(table, "weight_decay"),
        axes={
            axis.name: None if axis.is_range else list(map(thaw_value, axis.values))
            for axis in table.axes
        },
        n_seeds=len(table.seeds),
        score=ranked_by.name,
        chance_score=table.guess,
        chance_accuracy=table.chance_accuracy,
        evaluation_split="ood" if table.has_ood else "validation",
        planned_trials=table.planned_trials,
        finished_trials=table.n_finished,
        diverged_trials=table.n_diverged,
        missing_by_outcome=_missing(table),
        epsilon=epsilon,
        target=ranked_by.oriented(yardsticks.target),
        ci_level=CONFIDENCE,
        ci_method=CI_METHOD if any(summary.intervals for summary in summaries) else None,
        flatness_correlation=correlation,
        flattest=flattest,
        optimizers=summaries,
        unscored_optimizers=list(unscored(table)),
        comparisons=compare(scored, ranked_by, dependences) if len(scored) > 1 else None,
        published=published_of_sweep(
            scored,
            {
                summary.optimizer: summary.tunability.default_score
                for summary in summaries
                if summary.tunability is not None
            },
            published,
            ranked_by,
        ),
        caveats=caveats_of(table, summaries, budget),
    )


def at_budget(table: TrialTable, budget: Budget | None) -> tuple[TrialTable, float | None]:
    """A table with every trial cut at a budget of gradient evaluations, and that budget.

    Args:
        table: The trials, with histories.
        budget: Gradient evaluations; "equal" is :func:`common_budget`; None returns ``table``.

    Raises:
        NotAvailableError: There are no histories.
        InvalidOptionError: The budget is not a positive number.
    """
    if budget is None:
        return table, None
    if budget != "equal" and not 0 < budget < math.inf:
        raise InvalidOptionError(
            "invalid_gradient_evaluations",
            f"A budget of {budget} is not a positive number.",
            ("equal", "a positive number of gradient evaluations"),
        )
    table.require_finished()
    common = common_budget(table)
    amount = common if budget == "equal" else budget
    cut = table.within_budget(amount)
    if all(trial.validation(table.score) is None for trial in cut.results()):
        raise NotAvailableError(
            "budget_too_small",
            f"No trial has finished an epoch within {amount:g} gradient evaluations.",
            ("equal", f"a number up to {common:g}"),
        )
    return cut, amount


def common_budget(table: TrialTable) -> float:
    """The largest budget that every optimizer spent: the minimum over optimizers of their maximum.

    Optimizers without a history are left out.

    Raises:
        NotAvailableError: No trial has a history.
    """
    spent: dict[str, float] = {}
    for trial in table.results():
        if trial.history is not None and trial.history.spent:
            spent[trial.optimizer] = max(spent.get(trial.optimizer, 0.0), trial.history.spent)
    if not spent:
        raise NotAvailableError(
            "needs_history", "No trial has a history of gradient evaluations.", ("equal epochs",)
        )
    return min(spent.values())


def _default(
    trials: OptimizerTrials, defaults: Mapping[str, Mapping[str, Value]]
) -> Mapping[str, Value]:
    """The untuned configuration of an optimizer: given by label or name, else the catalog's."""
    given = defaults.get(trials.label, defaults.get(trials.name))
    return _catalog_default(trials.name) if given is None else given


def _catalog_default(name: str) -> Mapping[str, Value]:
    """Default learning rate and weight decay of an optimizer, as far as they are known."""
    facts = optimizers.known_facts(name)
    known = {axis: facts.get(f"default_{axis}") for axis in ("learning_rate", "weight_decay")}
    return {axis: value for axis, value in known.items() if value is not None}


def _flattest(
    summaries: Sequence[OptimizerSummary], splits: Sequence[str]
) -> dict[str, dict[str, str | None]]:
    """The optimizer with the least selected curvature, among at least two that learned."""
    found: dict[str, dict[str, str | None]] = {}
    for metric in CURVATURE_METRICS:
        for split in splits:
            values = {
                summary.optimizer: getattr(summary.best_config, metric)[split].value
                for summary in summaries
                if summary.best_config.learned and split in getattr(summary.best_config, metric)
            }
            found.setdefault(metric, {})[split] = (
                min(values, key=lambda label: abs(values[label])) if len(values) > 1 else None
            )
    return found


def _numbers(table: TrialTable, name: str) -> list[float]:
    """The values of a numeric axis; empty where no optimizer has it."""
    return [float(value) for axis in table.axes if axis.name == name for value in axis.values]  # type: ignore[arg-type]


def _missing(table: TrialTable) -> dict[str, int]:
    """Number of planned trials without a usable result, by outcome."""
    gone = (Outcome.FAILED, Outcome.CANCELLED, Outcome.PRUNED)
    named = {str(outcome): table.outcomes.get(outcome, 0) for outcome in gone}
    left = table.planned_trials - table.n_finished - sum(named.values())
    return named | {"unfinished": max(0, left)}


def _require_valid(name: str, value: float | None, score: Score) -> None:
    """Check that a score, or a difference of scores, is possible."""
    if value is not None and not (math.isfinite(value) and score.is_valid(value)):
        raise InvalidOptionError(
            f"invalid_{name}",
            f"{name} {value} is not {score.allowed}, as the score is {score.name}.",
            (score.allowed,),
        )
