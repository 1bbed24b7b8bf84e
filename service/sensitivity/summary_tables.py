"""Summaries and comparisons as tables of text, for terminals and pages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.sensitivity.hyperparameters import ordered
from service.sensitivity.number_format import (
    accuracy_label,
    curvature_label,
    split_label,
)
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.schemas import Caveat, SweepSummary
from service.sensitivity.sweep_comparison import SweepComparison
from service.sensitivity.table_cells import (
    SHOWN_FACTORS,
    corrected_cell,
    difference_cell,
    edge_mark,
    number_cell,
    raised_mark,
    score_cell,
    tolerance_cells,
    trials_cell,
    value_cell,
)
from workers.hyperparameter_text import axis_titles, value_text
from workers.scores import SCORES, Score
from workers.spec.configuration import freeze_value

__all__ = [
    "SummaryTable",
    "axis_table",
    "comparison_table",
    "pairs_table",
    "render_table",
]


_LEGEND = (
    "{units}. lr 2x off: expected cost of a learning rate 2 times too small or too large, all else"
    " tuned for it. lr decades: decades of learning rate within {epsilon} of the best, ≥ where the"
    " grid ends first. In brackets 95 % seed intervals; the costs before them are corrected for"
    " seed noise. * on the edge of the grid. † hardly learned: flatness means nothing. ‡ with a"
    " trial {below}, which counts as chance."
)


_SHARE = SCORES["accuracy"]
"""Shares, such as importance, are shown like accuracies, in percent."""


@dataclass(frozen=True, slots=True)
class SummaryTable:
    """Text in rows and columns; the first column is left-aligned, the others right-aligned.

    Attributes:
        title: Workload, or number of sweeps.
        columns: Headings.
        rows: One cell per column each.
        notes: The caveats.
        sentences: One per optimizer with the main findings.
        legend: What columns and marks mean; empty without any.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    sentences: tuple[str, ...] = ()
    legend: str = ""


def render_table(summary: SweepSummary) -> SummaryTable:
    """The most important numbers, one row per optimizer, accuracies in percent, losses in nats.

    Sensitivity is always shown with the best score, and curvature with a † where the network
    hardly learned.
    """
    split = "OOD" if summary.evaluation_split == "ood" else "val"
    score = SCORES[summary.score]
    curvature = _curvature_column(summary)
    names = _columns_of(summary.axes)
    columns = (
        "optimizer",
        *names.values(),
        score.heading("val"),
        *((score.heading("OOD"),) if split == "OOD" else ()),
        *(f"lr {factor:g}x off" for factor in SHOWN_FACTORS),
        "lr decades",
        f"mean {score.heading(split)}",
        "lr sensitivity",
        "mean regret",
        f"within {score.factor * summary.epsilon:g}",
        "trials to target",
        "diverged",
        *((f"Tr(H) {split_label(curvature)}",) if curvature else ()),
    )
    return SummaryTable(
        title=summary.workload or "Tuning sensitivity",
        columns=columns,
        rows=(
            *(tuple(_row(optimizer, names, curvature, score)) for optimizer in summary.optimizers),
            *(
                (missing.title, *["–"] * (len(columns) - 1))
                for missing in summary.unscored_optimizers
            ),
        ),
        notes=tuple(_note(caveat, summary) for caveat in summary.caveats),
        sentences=(
            *(optimizer.sentence for optimizer in summary.optimizers),
            *(missing.sentence for missing in summary.unscored_optimizers),
        ),
        legend=_LEGEND.format(
            units=score.units, epsilon=score.points(summary.epsilon), below=score.below_guess
        ),
    )


def axis_table(summary: SweepSummary) -> SummaryTable:
    """Dependence on each hyperparameter, one row per optimizer and hyperparameter."""
    score = SCORES[summary.score]
    rows = (
        (
            optimizer.title,
            axis.title,
            value_text(freeze_value(axis.best)) + edge_mark(axis),
            corrected_cell(axis.sensitivity, axis.sensitivity_interval, score),
            corrected_cell(axis.regret, axis.regret_interval, score),
            corrected_cell(axis.importance, axis.importance_interval, _SHARE),
        )
        for optimizer in summary.optimizers
        for axis in optimizer.axes.values()
        if axis.kind is not None
    )
    return SummaryTable(
        title="By hyperparameter",
        columns=(
            *("optimizer", "hyperparameter", "best", "sensitivity", "regret", "importance %"),
        ),
        rows=tuple(rows),
        notes=(
            f"Sensitivity: {score.difference_unit} lost by a random value if all others are tuned;"
            " regret: while all others stay where they are. Importance: share of the variance of"
            f" {score.name}.",
        ),
    )


def pairs_table(summary: SweepSummary) -> SummaryTable:
    """The comparison of every pair of optimizers; positive differences: the first is better."""
    score = SCORES[summary.score]
    titles = {optimizer.optimizer: optimizer.title for optimizer in summary.optimizers}
    pairs = summary.comparisons.pairs if summary.comparisons else ()
    return SummaryTable(
        title="Comparisons",
        columns=(
            *("pair", "mean difference", "median", "wins, ties, losses"),
            *("selected configurations", "P(improvement)", "p (Holm)"),
        ),
        rows=tuple(
            (
                f"{titles[pair.a]} − {titles[pair.b]}",
                difference_cell(pair.mean_difference, pair.mean_difference_interval, score),
                score.signed(pair.median_difference),
                f"{pair.wins}, {pair.ties}, {pair.losses}" if pair.n_blocks else "–",
                difference_cell(pair.best_difference, pair.best_difference_interval, score),
                number_cell(pair.probability_of_improvement, ".2f"),
                number_cell(pair.wilcoxon_p_holm, ".2g"),
            )
            for pair in pairs
        ),
        notes=(
            f"{score.difference_unit.capitalize()} of {score.name} over common configurations,"
            " and between the selected ones; p-values hold within this sweep only.",
        ),
    )


def comparison_table(comparison: SweepComparison) -> SummaryTable:
    """The headline numbers, one row per sweep and optimizer, in percent or nats."""
    score = SCORES[comparison.sweeps[0].score]
    titles = {sweep.sweep_id: sweep.title for sweep in comparison.sweeps}
    scores = {
        (sweep, optimizer.optimizer): optimizer.normalised_scores.get(title)
        for optimizer in (comparison.workloads.optimizers if comparison.workloads else ())
        for sweep, title in titles.items()
    }
    normalised = ("normalised %",) if scores else ()
    names = _columns_of(
        name for headline in comparison.headlines for name in headline.hyperparameters
    )
    return SummaryTable(
        title=f"{len(titles)} sweeps",
        columns=(
            *(
                "sweep",
                "optimizer",
                *names.values(),
                score.heading("best"),
                score.heading("mean"),
                "lr sensitivity",
            ),
            *("mean regret", "trials to target", "diverged %", *normalised),
        ),
        rows=tuple(
            (
                titles[headline.sweep_id],
                headline.title,
                *(value_cell(headline.hyperparameters, name) for name in names),
                score_cell(headline.score, headline.score_interval, score),
                score_cell(headline.mean_score, headline.mean_score_interval, score),
                corrected_cell(headline.lr_sensitivity, headline.lr_sensitivity_interval, score),
                corrected_cell(headline.mean_regret, headline.mean_regret_interval, score),
                trials_cell(headline.trials_to_target),
                accuracy_label(headline.divergence_rate),
                *(
                    (accuracy_label(scores.get((headline.sweep_id, headline.optimizer))),)
                    if scores
                    else ()
                ),
            )
            for headline in comparison.headlines
        ),
        notes=tuple(caveat.message for caveat in comparison.caveats),
        sentences=tuple(
            f"{path}: {', '.join(values)}" for path, values in comparison.differing.items()
        ),
    )


def _row(
    optimizer: OptimizerSummary, names: Iterable[str], curvature: str | None, score: Score
) -> Iterator[str]:
    """The cells of one optimizer, in the order of the columns."""
    best, intervals = optimizer.best_config, optimizer.intervals
    yield optimizer.title
    for name in names:
        yield value_cell(best.hyperparameters, name) + edge_mark(optimizer.axes.get(name))
    shown = score_cell(best.val_score, best.val_score_interval, score)
    yield shown + raised_mark(best, score.val_metric)
    if best.ood_score is not None:
        shown = score_cell(best.ood_score, best.ood_score_interval, score)
        yield shown + raised_mark(best, score.ood_metric)
    yield from tolerance_cells(optimizer.lr_tolerance, score)
    spread = optimizer.ood_score or optimizer.val_score
    metric = score.ood_metric if optimizer.ood_score else score.val_metric
    yield score_cell(spread.mean, intervals.get(f"{metric}.mean"), score)
    yield corrected_cell(optimizer.lr_sensitivity, intervals.get("lr_sensitivity"), score)
    yield corrected_cell(optimizer.mean_regret, intervals.get("mean_regret"), score)
    yield f"{optimizer.near_optimal_fraction.shared_best_count}/{optimizer.n_configs}"
    yield trials_cell(optimizer.trials_to_target.expected_trials)
    yield f"{optimizer.n_diverged}/{optimizer.n_trials}"
    if curvature:
        value = best.hessian_trace.get(curvature)
        yield "–" if value is None else curvature_label(value.value) + "†" * (not best.learned)


def _columns_of(names: Iterable[str]) -> dict[str, str]:
    """Headings of the columns of hyperparameters, by name."""
    return axis_titles(ordered(names), short=True)


def _note(caveat: Caveat, summary: SweepSummary) -> str:
    """A caveat with the optimizers concerned, unless all are."""
    titles = [
        optimizer.title
        for optimizer in summary.optimizers
        if optimizer.optimizer in caveat.optimizers
    ]
    if not titles or len(titles) == len(summary.optimizers):
        return caveat.message
    return f"{', '.join(titles)}: {caveat.message}"


def _curvature_column(summary: SweepSummary) -> str | None:
    """The split of the trace column: OOD where any optimizer has it."""
    splits = {split for s in summary.optimizers for split in s.best_config.hessian_trace}
    return "ood" if "ood" in splits else min(splits, default=None)
