"""Matrix of all pairs of optimizers: how much that of the row is better than the column's."""

from __future__ import annotations

from service.sensitivity.schemas import PairComparison, SweepSummary
from service.sensitivity.summary_tables import SummaryTable
from workers.scores import SCORES

__all__ = ["pairs_matrix"]

_SIGNIFICANT = 0.05


def pairs_matrix(summary: SweepSummary) -> SummaryTable | None:
    """The differences of all pairs, one row and one column per optimizer.

    A cell has the mean difference over the configurations that both were tried at, or, if they
    search different spaces, that of their selected configurations; positive: the row is better.

    Returns:
        The table; None with fewer than three optimizers, whose pairs are read more easily.
    """
    if summary.comparisons is None or len(summary.optimizers) < 3:
        return None
    score = SCORES[summary.score]
    pairs = {(pair.a, pair.b): pair for pair in summary.comparisons.pairs}
    labels = [optimizer.optimizer for optimizer in summary.optimizers]
    titles = tuple(optimizer.title for optimizer in summary.optimizers)

    def cell(row: str, column: str) -> str:
        if row == column:
            return ""
        pair = pairs.get((row, column)) or pairs[column, row]
        difference = _difference(pair)
        if difference is None:
            return "–"
        sign = 1.0 if pair.a == row else -1.0
        return score.signed(sign * difference) + "*" * _is_significant(pair)

    rows = tuple(
        (title, *(cell(label, other) for other in labels))
        for title, label in zip(titles, labels, strict=True)
    )
    legend = (
        f"Row minus column, in {score.difference_unit} of validation {score.name}: positive where "
        "the optimizer of the row is better. * p (Holm) below 0.05, or, between optimizers that "
        "search different spaces, an interval of the selected configurations without 0."
    )
    return SummaryTable("Pairs of optimizers", ("row − column", *titles), rows, (legend,))


def _difference(pair: PairComparison) -> float | None:
    """The difference that a cell shows."""
    return pair.mean_difference if pair.same_space else pair.best_difference


def _is_significant(pair: PairComparison) -> bool:
    """Whether the difference of a cell is distinguishable from 0."""
    if pair.same_space:
        return pair.wilcoxon_p_holm is not None and pair.wilcoxon_p_holm < _SIGNIFICANT
    interval = pair.best_difference_interval
    return interval is not None and (interval.low > 0 or interval.high < 0)
