"""Caveats of a summary: stable codes for programs, one sentence for readers."""

from collections.abc import Iterable, Iterator, Sequence

from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.schemas import Caveat
from service.sensitivity.sentences import unscored
from service.sensitivity.trial_table import TrialTable
from workers.hyperparameter_text import axis_titles
from workers.metrics import Outcome

__all__ = ["caveats_of"]

_EDGE_CODES = {
    "learning_rate": "best_learning_rate_on_grid_edge",
    "weight_decay": "best_weight_decay_on_grid_edge",
}

# Weight decays at or below this are equivalent to none: over any schedule they shrink weights by
# less than noise does.
_NEGLIGIBLE_WEIGHT_DECAY = 1e-6


def caveats_of(
    table: TrialTable, summaries: Sequence[OptimizerSummary], budget: float | None
) -> list[Caveat]:
    """Every caveat that applies, the most important first.

    Args:
        table: The trials of the summaries.
        summaries: Of the optimizers that have a finished trial.
        budget: Gradient evaluations at which trials were cut; None if not.
    """
    return [
        *_about_trials(table, budget),
        *_about_optimizers(table, summaries),
        *_about_method(table, summaries),
    ]


def _about_trials(table: TrialTable, budget: float | None) -> Iterator[Caveat]:
    """Caveats on the trials."""
    pruned = table.outcomes.get(Outcome.PRUNED, 0)
    if table.n_finished + pruned < table.planned_trials:
        yield Caveat(
            code="incomplete",
            message=f"{table.n_finished} of {table.planned_trials} planned trials count; missing"
            " ones are not imputed"
            + (
                ", and none of them will follow."
                if table.ended
                else ", so every number may still change."
            ),
        )
    if pruned:
        yield Caveat(
            code="pruned_trials",
            message=f"{pruned} of {table.planned_trials} trials were stopped early and are left"
            " out: the configurations that ran to the end are the better ones, so sensitivity,"
            " regret and divergence are understated"
            + (", and the grid has holes." if table.search == "grid" else "."),
            optimizers=_pruned(table),
        )
    if diverged := table.n_diverged:
        yield Caveat(
            code="diverged_at_chance",
            message=f"{diverged} diverged trials count as chance ({_chance(table)}); they have no"
            " curvature.",
            optimizers=[trials.label for trials in table.by_optimizer if trials.diverged.any()],
        )
    if below := sum(trials.n_below_chance for trials in table.by_optimizer):
        yield Caveat(
            code="below_chance_at_chance",
            message=f"{below} trials ended {table.score.below_guess} and count as chance"
            f" ({_chance(table)}).",
            optimizers=[trials.label for trials in table.by_optimizer if trials.n_below_chance],
        )
    if budget is not None:
        yield Caveat(
            code="cut_at_budget",
            message=f"Every trial is cut at {budget:.4g} gradient evaluations, in the middle of a"
            f" schedule made for its whole length; OOD {table.score.name} and curvature are only"
            f" measured at the end, so everything is on validation {table.score.name}.",
        )
    elif not table.has_ood:
        yield Caveat(
            code="no_ood_accuracy",
            message=f"No OOD {table.score.name} was measured: regret, sensitivity, importance and"
            f" comparisons are on validation {table.score.name}, which also selects.",
        )
    if table.search != "grid":
        yield Caveat(
            code="not_a_grid",
            message=f"A {table.search} search has no lines along which one hyperparameter changes:"
            " sensitivities, curves and tunability are null, and importance is estimated by a"
            " random forest.",
        )
    if table.search == "tpe":
        yield Caveat(
            code="adaptive_search",
            message=f"The search tried most where {table.score.name} was good: means over"
            " configurations, regrets, near-optimal shares, importance and expected-best curves"
            " describe where it went, not the ranges. Compare sensitivity by a grid or a random"
            " search.",
        )


def _chance(table: TrialTable) -> str:
    """The score of a uniform guess."""
    what = "" if table.score.name == "accuracy" else " nats"
    return f"{table.guess:.3g}{what}"


def _pruned(table: TrialTable) -> list[str]:
    """Labels of the optimizers with a trial stopped early."""
    found = {trial.optimizer for trial in table.results() if trial.outcome == Outcome.PRUNED}
    return [label for label in table.optimizers if label in found]


def _about_optimizers(table: TrialTable, summaries: Sequence[OptimizerSummary]) -> Iterator[Caveat]:
    """Caveats on single optimizers."""
    for absent in unscored(table):
        yield Caveat(
            code="optimizer_without_trials",
            message=f"There is no result: {absent.reason}.",
            optimizers=[absent.optimizer],
        )

    def where(code: str, message: str, labels: Iterable[str]) -> Iterator[Caveat]:
        if found := list(labels):
            yield Caveat(code=code, message=message, optimizers=found)

    yield from where(
        "learning_rate_is_initial_step_size",
        "The learning rate is only the initial step size eta_0; it is not the same knob as a"
        " fixed step size.",
        (s.optimizer for s in summaries if s.learning_rate_role == "initial_step_size"),
    )
    yield from _about_weight_decay(summaries)
    yield from where(
        "unlearned_curvature",
        f"The {table.score.name} at the selected configuration is near chance or far from the best:"
        " its flatness means nothing and is not compared.",
        (s.optimizer for s in summaries if not s.best_config.learned),
    )
    yield from where(
        "negative_trace",
        "A negative Tr(H) at the selected configuration: not a minimum, or an estimate within its"
        " error of zero.",
        (
            s.optimizer
            for s in summaries
            if any(curvature.value < 0 for curvature in s.best_config.hessian_trace.values())
        ),
    )
    for axis in table.axes:
        yield from where(
            _EDGE_CODES.get(axis.name, "best_hyperparameter_on_grid_edge"),
            f"The best {axis_titles([axis.name])[axis.name]} is the smallest or largest tried; a"
            " better one may lie beyond.",
            (
                s.optimizer
                for s in summaries
                if s.axes[axis.name].on_edge
                and s.axes[axis.name].best != 0  # the smallest possible
            ),
        )
    if table.search == "grid":
        yield from where(
            "default_not_tried",
            "The default configuration is not on the grid (or has no finished trial, or a"
            " hyperparameter has no known default): tunability is null.",
            (s.optimizer for s in summaries if s.tunability is None),
        )


def _about_weight_decay(summaries: Sequence[OptimizerSummary]) -> Iterator[Caveat]:
    """Caveat where weight decay means different things in the panels of a sweep."""
    by_kind: dict[str, list[str]] = {}
    for summary in summaries:
        axis = summary.axes.get("weight_decay")
        if summary.weight_decay_kind is not None and axis is not None and axis.kind is not None:
            by_kind.setdefault(summary.weight_decay_kind, []).append(summary.optimizer)
    if len(by_kind) > 1:
        kinds = "; ".join(f"{kind} for {', '.join(labels)}" for kind, labels in by_kind.items())
        yield Caveat(
            code="mixed_weight_decay",
            message="The same weight decay does not mean the same for all optimizers (coupled:"
            " added to the gradient; decoupled: the weights shrink on their own; exempting: biases"
            f" and normalisation layers are left out): {kinds}.",
            optimizers=[label for labels in by_kind.values() for label in labels],
        )


def _about_method(table: TrialTable, summaries: Sequence[OptimizerSummary]) -> Iterator[Caveat]:
    """Caveats on the method."""
    negligible = _negligible_decays(table)
    if table.search == "grid" and len(negligible) > 1:
        yield Caveat(
            code="near_duplicate_weight_decays",
            message=f"Weight decays {', '.join(f'{decay:g}' for decay in negligible)} are nearly"
            " the same configuration: shares of configurations and p-values count it several"
            " times.",
        )
    without_interval = [s.optimizer for s in summaries if not s.intervals]
    if without_interval:
        yield Caveat(
            code="no_interval_with_one_seed",
            message="Fewer than half of the configurations have two seeds: there is no interval,"
            " and differences may be seed noise, which lifts every sensitivity and regret. Two"
            " seeds are enough for intervals of sensitivities.",
            optimizers=without_interval,
        )
    if len(without_interval) < len(summaries):
        yield Caveat(
            code="intervals_of_maxima_lean_upward",
            message="Noise lifts a maximum: observed sensitivities, regrets and best scores are"
            " too high. Their intervals allow for it, and tables show sensitivities and regrets"
            " corrected for it.",
        )
    if not _is_one_space(table):
        yield Caveat(
            code="different_spaces",
            message="The optimizers search different hyperparameters or values: configurations are"
            " not paired, only the selected ones are compared, and a larger space has a better best"
            " and other regrets and sensitivities.",
        )
    if len(summaries) > 1:
        what = "grid" if table.search == "grid" else "search"
        yield Caveat(
            code="p_values_within_grid",
            message=f"P-values are within this {what}: its configurations are not independent data"
            " sets, and they say nothing about other workloads; across"
            f" {len(table.seeds)} seed{'s' * (len(table.seeds) > 1)} alone the smallest possible p"
            f" is {min(1.0, 2.0 ** (1 - len(table.seeds))):g}.",
        )
    costs = {s.title: s.gradient_evaluations.per_trial for s in summaries if s.gradient_evaluations}
    if costs and max(costs.values()) > 1.01 * min(costs.values()):
        dearest, cheapest = max(costs, key=costs.__getitem__), min(costs, key=costs.__getitem__)
        yield Caveat(
            code="unequal_compute",
            message=f"A trial of {dearest} costs {costs[dearest] / costs[cheapest]:.2g} times the"
            f" gradient evaluations of one of {cheapest}: see the summary at equal gradient"
            " evaluations.",
        )


def _negligible_decays(table: TrialTable) -> list[float]:
    """Weight decays that are equivalent to none."""
    return [
        decay
        for axis in table.axes
        if axis.name == "weight_decay"
        for decay in axis.values
        if isinstance(decay, int | float) and decay <= _NEGLIGIBLE_WEIGHT_DECAY
    ]


def _is_one_space(table: TrialTable) -> bool:
    """Whether all optimizers search the same space."""
    first, *others = table.by_optimizer
    return all(first.has_space_of(other) for other in others)
