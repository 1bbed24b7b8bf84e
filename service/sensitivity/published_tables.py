"""Published measures as tables, for the terminal, the page and the report."""

from collections.abc import Iterable, Iterator

from service.sensitivity.number_format import accuracy_label, points_label
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.published_schemas import LocalOptimality, PublishedMeasures
from service.sensitivity.schemas import SweepSummary
from service.sensitivity.summary_tables import SummaryTable
from service.sensitivity.sweep_comparison import SweepComparison
from service.sensitivity.workloads import OptimizerAcrossWorkloads
from workers.hyperparameter_text import axis_titles, value_text
from workers.scores import SCORES, Score
from workers.spec.configuration import freeze_value

__all__ = ["gain_table", "published_comparison_table", "published_table"]

_NOTES = (
    "Loss sensitivity: mean loss above the best over the learning rates of the range (Wortsman et"
    " al. 2023); numbers over different ranges are not comparable.",
    "P(best) at n: probability of being the best optimizer after n random configurations each"
    " (Sivaprasad et al. 2020).",
    "Median best of n: with the band that holds at every n at once with 95 % probability (Lourie et"
    " al. 2023), if the configurations were drawn at random.",
    "Evaluations: gradient evaluations until the target, tuning included; fastest: of the cheapest"
    " trial that reaches it, median over seeds (AlgoPerf).",
    "IQM and gap: of the scores of all trials between chance (0) and the best (1) (Agarwal et al."
    " 2021).",
    "Local optimum: no configuration that differs in one hyperparameter is better (Wen et al."
    " 2025); * the seeds do not exclude one.",
)


def published_table(summary: SweepSummary) -> SummaryTable:
    """The published measures, one row per optimizer."""
    score = SCORES[summary.score]
    some = next(
        (
            o.published.probability_of_best
            for o in summary.optimizers
            if o.published.probability_of_best
        ),
        None,
    )
    budgets = [] if some is None else some.configurations
    shown = list(dict.fromkeys([*budgets[:1], *budgets[len(budgets) // 2 :][:1], *budgets[-1:]]))
    draws = _middle_budget(summary)
    return SummaryTable(
        title="As published",
        columns=(
            "optimizer",
            "local optimum",
            "loss sensitivity",
            "range",
            *(f"P(best) at {n}" for n in shown),
            score.heading(f"median best of {draws}"),
            "evaluations",
            "fastest",
            "IQM",
            "gap",
        ),
        rows=tuple(tuple(_row(optimizer, shown, draws, score)) for optimizer in summary.optimizers),
        notes=(*_NOTES, *(caveat.message for caveat in summary.published.caveats)),
    )


def gain_table(summary: SweepSummary) -> SummaryTable | None:
    """Gain of each tuned optimizer (column) over each untuned one (row), in points or nats."""
    matrix = summary.published.gain_matrix
    if matrix is None:
        return None
    titles = {optimizer.optimizer: optimizer.title for optimizer in summary.optimizers}
    names = [titles[label] for label in matrix.optimizers]
    score = SCORES[summary.score]
    return SummaryTable(
        title="Gain of tuned over untuned optimizers",
        columns=("untuned \\ tuned", *names),
        rows=tuple(
            (name, *map(score.signed, gains))
            for name, gains in zip(names, matrix.gains, strict=True)
        ),
        notes=(
            f"{score.difference_unit.capitalize()} of {score.name}, positive where the tuned one is"
            " better; untuned: the default learning rate and weight decay of the catalog, a dash"
            " where they were not tried (Schmidt et al. 2021).",
        ),
    )


def published_comparison_table(comparison: SweepComparison) -> SummaryTable | None:
    """The published measures over workloads, one row per optimizer; None with one workload."""
    if comparison.workloads is None:
        return None
    return SummaryTable(
        title="As published",
        columns=(
            *("optimizer", "performance", "Φ", "d", "one for all", "left out", "IQM", "gap"),
            *("B (evaluations)", "B (fastest)"),
        ),
        rows=tuple(tuple(_across(one)) for one in comparison.workloads.optimizers),
        notes=(
            "Performance: score tuned on each workload, with its 5th and 95th percentile at 0 and"
            " 1; Φ: what one configuration for all loses of it; d: hyperparameters to tune per"
            " workload for 95 % of it (Adkins et al. 2024).",
            "One for all: mean normalised score of the configuration best over all workloads; left"
            " out: points of it lost on a workload that did not take part in choosing it"
            " (Kasimbeg et al. 2025).",
            "IQM and gap: over the seeds of the selected configurations (Agarwal et al. 2021). B:"
            " area under the performance profile of gradient evaluations to the target (AlgoPerf).",
        ),
    )


def _row(
    optimizer: OptimizerSummary, budgets: Iterable[int], draws: int, score: Score
) -> Iterator[str]:
    """The cells of one optimizer."""
    measures = optimizer.published
    loss, best = measures.loss_sensitivity, measures.probability_of_best
    yield optimizer.title
    yield _certificate_label(measures.local_optimality)
    yield "–" if loss is None else f"{loss.value:.3g}" + "†" * (not loss.evenly_spaced)
    yield ("–" if loss is None else f"{loss.learning_rate_low:g} … {loss.learning_rate_high:g}")
    for n in budgets:
        yield "–" if best is None else f"{best.probabilities[best.configurations.index(n)]:.2f}"
    yield _median_label(measures, draws, score)
    cost = measures.cost_to_target
    for evaluations in (cost.gradient_evaluations, cost.fastest_gradient_evaluations):
        yield "never" if not cost.n_hits else _number(evaluations, ",.0f")
    profile = measures.score_profile
    yield "–" if profile is None else f"{profile.interquartile_mean:.2f}"
    yield "–" if profile is None else f"{profile.optimality_gap:.2f}"


def _number(value: float | None, precision: str) -> str:
    """A number in a format; a dash for None."""
    return "–" if value is None else format(value, precision)


def _middle_budget(summary: SweepSummary) -> int:
    """About the square root of the number of configurations: a small budget of every optimizer."""
    curves = [o.published.tuning_curve for o in summary.optimizers]
    sizes = [curve.configurations for curve in curves if curve is not None]
    if not sizes:
        return 1
    shared = [n for n in sizes[0] if all(n in other for other in sizes)]
    limit = min(size[-1] for size in sizes) ** 0.5
    return max([n for n in shared if n <= limit], default=1)


def _median_label(measures: PublishedMeasures, draws: int, score: Score) -> str:
    """The median of the best of some draws with its band."""
    curve = measures.tuning_curve
    if curve is None or draws not in curve.configurations:
        return "–"
    at = curve.configurations.index(draws)
    low, high = (score.text(end[at]) for end in (curve.median_low, curve.median_high))
    return f"{score.text(curve.median[at])} [{low}, {high}]"


def _certificate_label(found: LocalOptimality | None) -> str:
    """Whether the certificate holds, or the hyperparameters in which it is open."""
    if found is None:
        return "–"
    if found.holds:
        return "yes" if found.certain else "yes*"
    open_in = [
        neighbour for neighbour in found.neighbours if neighbour.status not in ("worse", "equal")
    ]
    titles = axis_titles(dict.fromkeys(n.hyperparameter for n in open_in), short=True)
    return "open: " + ", ".join(
        f"{titles[n.hyperparameter]} {value_text(freeze_value(n.value))}" for n in open_in
    )


def _across(optimizer: OptimizerAcrossWorkloads) -> Iterator[str]:
    """The cells of one optimizer over workloads."""
    found = optimizer.published
    plane, one, runs = found.plane, found.one_for_all, found.runs
    yield optimizer.title
    yield "–" if plane is None else f"{plane.performance:.2f}"
    yield "–" if plane is None else f"{plane.sensitivity:.3f}"
    yield "–" if plane is None or plane.dimension is None else str(plane.dimension)
    yield "–" if one is None else accuracy_label(sum(one.scores.values()) / len(one.scores))
    yield "–" if one is None else points_label(one.mean_regret)
    yield (
        "–"
        if runs is None
        else _between(
            runs.interquartile_mean, runs.interquartile_mean_low, runs.interquartile_mean_high
        )
    )
    yield (
        "–"
        if runs is None
        else _between(runs.optimality_gap, runs.optimality_gap_low, runs.optimality_gap_high)
    )
    yield f"{found.gradient_evaluations_score:.2f}"
    yield f"{found.fastest_score:.2f}"


def _between(value: float, low: float | None, high: float | None) -> str:
    """A number with its interval."""
    return f"{value:.2f}" if low is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"
