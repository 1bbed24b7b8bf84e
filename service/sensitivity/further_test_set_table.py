"""Table of the results on further test sets."""

from service.sensitivity.schemas import SweepSummary
from service.sensitivity.summary_tables import SummaryTable
from workers.scores import SCORES

__all__ = ["further_test_set_table"]


def further_test_set_table(summary: SweepSummary) -> SummaryTable:
    """Score at the selected configuration; no rows without further test sets."""
    score = SCORES[summary.score]
    names = sorted({name for optimizer in summary.optimizers for name in optimizer.test_sets})
    rows = []
    for optimizer in summary.optimizers if names else ():
        cells = [optimizer.title]
        for name in names:
            found = optimizer.test_sets.get(name)
            cell = score.text(found.score if found else None)
            if found is not None and found.score_interval is not None:
                low, high = found.score_interval.low, found.score_interval.high
                cell += f" [{score.text(low)}, {score.text(high)}]"
            cells.append(cell)
        rows.append(tuple(cells))
    return SummaryTable(
        title="Further test sets",
        columns=("optimizer", *names),
        rows=tuple(rows),
        notes=(
            f"{score.name.capitalize()} in {'percent' if score.unit == '%' else score.unit} at the"
            " configuration that validation selects.",
        ),
    )
