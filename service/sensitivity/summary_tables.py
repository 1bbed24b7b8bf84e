"""Summaries and comparisons as tables: text for a terminal, CSV for programs, LaTeX for papers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.sensitivity.dotted import flatten, write_csv
from service.sensitivity.hyperparameters import ordered
from service.sensitivity.number_format import (
    RAISED_MARK,
    accuracy_label,
    curvature_label,
    split_label,
)
from service.sensitivity.schemas import (
    AxisSummary,
    BestConfig,
    Caveat,
    Interval,
    OptimizerSummary,
    SweepSummary,
    Tolerance,
)
from service.sensitivity.sweep_comparison import SweepComparison
from workers.hyperparameter_text import axis_titles, value_text
from workers.scores import SCORES, Score
from workers.spec.configuration import freeze_value

__all__ = [
    "SummaryTable",
    "axis_table",
    "comparison_csv",
    "comparison_table",
    "pairs_table",
    "render_table",
    "summary_csv",
    "summary_latex",
]

_SHOWN_FACTORS = (2.0, 10.0)  # columns of S(k); the JSON has the others

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
        *(f"lr {factor:g}x off" for factor in _SHOWN_FACTORS),
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
            value_text(freeze_value(axis.best)) + _edge_mark(axis),
            _corrected(axis.sensitivity, axis.sensitivity_interval, score),
            _corrected(axis.regret, axis.regret_interval, score),
            _corrected(axis.importance, axis.importance_interval, _SHARE),
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
                _difference(pair.mean_difference, pair.mean_difference_interval, score),
                score.signed(pair.median_difference),
                f"{pair.wins}, {pair.ties}, {pair.losses}" if pair.n_blocks else "–",
                _difference(pair.best_difference, pair.best_difference_interval, score),
                _number(pair.probability_of_improvement, ".2f"),
                _number(pair.wilcoxon_p_holm, ".2g"),
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
                *(_best_value(headline.hyperparameters, name) for name in names),
                _with_error(headline.score, headline.score_interval, score),
                _with_error(headline.mean_score, headline.mean_score_interval, score),
                _corrected(headline.lr_sensitivity, headline.lr_sensitivity_interval, score),
                _corrected(headline.mean_regret, headline.mean_regret_interval, score),
                _trials(headline.trials_to_target),
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


def summary_csv(summary: SweepSummary) -> bytes:
    """Every scalar of every optimizer, one row per optimizer; nested ones have dotted names.

    Curves (lists) are left out: the figures export them as CSV.
    """
    return write_csv(
        _scalars(optimizer.model_dump(exclude=_sentences_in(optimizer)))
        for optimizer in summary.optimizers
    )


def comparison_csv(comparison: SweepComparison) -> bytes:
    """The headline numbers, one row per sweep and optimizer."""
    sweeps = {sweep.sweep_id: sweep for sweep in comparison.sweeps}
    return write_csv(
        {"sweep": sweeps[headline.sweep_id].title, **_scalars(headline.model_dump())}
        for headline in comparison.headlines
    )


def summary_latex(summary: SweepSummary) -> str:
    """The table of :func:`render_table` for the booktabs package."""
    table = render_table(summary)
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_tex, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*(f"% {note}" for note in table.notes), *lines, ""])


def _row(
    optimizer: OptimizerSummary, names: Iterable[str], curvature: str | None, score: Score
) -> Iterator[str]:
    """The cells of one optimizer, in the order of the columns."""
    best, intervals = optimizer.best_config, optimizer.intervals
    yield optimizer.title
    for name in names:
        yield _best_value(best.hyperparameters, name) + _edge_mark(optimizer.axes.get(name))
    shown = _with_error(best.val_score, best.val_score_interval, score)
    yield shown + _raised(best, score.val_metric)
    if best.ood_score is not None:
        shown = _with_error(best.ood_score, best.ood_score_interval, score)
        yield shown + _raised(best, score.ood_metric)
    yield from _tolerance(optimizer.lr_tolerance, score)
    spread = optimizer.ood_score or optimizer.val_score
    metric = score.ood_metric if optimizer.ood_score else score.val_metric
    yield _with_error(spread.mean, intervals.get(f"{metric}.mean"), score)
    yield _corrected(optimizer.lr_sensitivity, intervals.get("lr_sensitivity"), score)
    yield _corrected(optimizer.mean_regret, intervals.get("mean_regret"), score)
    yield f"{optimizer.near_optimal_fraction.shared_best_count}/{optimizer.n_configs}"
    yield _trials(optimizer.trials_to_target.expected_trials)
    yield f"{optimizer.n_diverged}/{optimizer.n_trials}"
    if curvature:
        value = best.hessian_trace.get(curvature)
        yield "–" if value is None else curvature_label(value.value) + "†" * (not best.learned)


def _sentences_in(optimizer: OptimizerSummary) -> dict[str, Any]:
    """Parts of a summary that are text for readers; of undefined measures the code remains."""
    return {
        "axes": {name: {"title", "undefined"} for name in optimizer.axes},
        "published": {"undefined": {name: {"message"} for name in optimizer.published.undefined}},
    }


def _columns_of(names: Iterable[str]) -> dict[str, str]:
    """Headings of the columns of hyperparameters, by name."""
    return axis_titles(ordered(names), short=True)


def _best_value(configuration: Mapping[str, Any], name: str) -> str:
    """A hyperparameter's value as text; a dash where the search does not vary it."""
    if name not in configuration:
        return "–"
    return value_text(freeze_value(configuration[name]))


def _edge_mark(axis: AxisSummary | None) -> str:
    """A * for a value on the edge of those tried, unless it is 0, the smallest possible."""
    return "*" if axis is not None and axis.on_edge and axis.best != 0 else ""


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


def _difference(value: float | None, interval: Interval | None, score: Score) -> str:
    """A difference of scores with its interval."""
    if interval is None:
        return score.signed(value)
    return f"{score.signed(value)} [{score.signed(interval.low)}, {score.signed(interval.high)}]"


def _number(value: float | None, precision: str) -> str:
    """A number in a format; a dash for None."""
    return "–" if value is None else format(value, precision)


def _trials(expected: float | None) -> str:
    """Expected configurations until a target."""
    return "never" if expected is None else f"{expected:.1f}"


def _curvature_column(summary: SweepSummary) -> str | None:
    """The split of the trace column: OOD where any optimizer has it."""
    splits = {split for s in summary.optimizers for split in s.best_config.hessian_trace}
    return "ood" if "ood" in splits else min(splits, default=None)


def _with_error(value: float | None, interval: Interval | None, score: Score) -> str:
    """A score or a cost as text, with the larger half-width of its interval."""
    if value is None or interval is None:
        return score.text(value)
    half = max(value - interval.low, interval.high - value)
    return f"{score.text(value)} ± {score.text(half)}"


def _corrected(value: float | None, interval: Interval | None, score: Score) -> str:
    """A cost or a share as text, corrected for seed noise, with its interval."""
    if interval is None or interval.estimate is None:
        return score.text(value)
    ends = f"[{score.text(interval.low)}, {score.text(interval.high)}]"
    return f"{score.text(interval.estimate)} {ends}"


def _tolerance(tolerance: Tolerance | None, score: Score) -> Iterator[str]:
    """Cells of what a wrong learning rate costs, and of how many decades are good."""
    if tolerance is None:
        yield from ("–",) * (len(_SHOWN_FACTORS) + 1)
        return
    for off in tolerance.off_by:
        if off.factor in _SHOWN_FACTORS:
            yield _corrected(off.loss, off.loss_interval, score)
    interval, bound = tolerance.width_interval, "≥ " * tolerance.width_is_lower_bound
    if interval is None or interval.estimate is None:
        yield f"{bound}{tolerance.width:.1f}"
    else:
        yield f"{bound}{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def _raised(best: BestConfig, metric: str) -> str:
    """The mark of a score to which a trial worse than a guess contributes."""
    return RAISED_MARK * (metric in best.raised_to_chance)


def _scalars(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Scalars by dotted name; a list that is a value of a hyperparameter is text."""
    return {
        name: value_text(freeze_value(value)) if isinstance(value, list) else value
        for name, value in flatten(fields)
        if not isinstance(value, list) or "hyperparameters." in name
    }


_TEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "†": r"$^\dagger$",
        "–": "--",
    }
)


def _tex(text: str) -> str:
    """Escape text for LaTeX."""
    return text.translate(_TEX)
