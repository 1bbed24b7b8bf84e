"""Table of the results on further test sets."""

from service.sensitivity.number_format import accuracy_label
from service.sensitivity.schemas import SweepSummary
from service.sensitivity.summary_tables import SummaryTable

__all__ = ["further_test_set_table"]


def further_test_set_table(summary: SweepSummary) -> SummaryTable:
    """Accuracy at the selected configuration in percent; no rows without further test sets."""
    names = sorted({name for optimizer in summary.optimizers for name in optimizer.test_sets})
    rows = []
    for optimizer in summary.optimizers if names else ():
        cells = [optimizer.title]
        for name in names:
            found = optimizer.test_sets.get(name)
            cell = accuracy_label(found.accuracy if found else None)
            if found is not None and found.accuracy_interval is not None:
                low, high = found.accuracy_interval.low, found.accuracy_interval.high
                cell += f" [{accuracy_label(low)}, {accuracy_label(high)}]"
            cells.append(cell)
        rows.append(tuple(cells))
    return SummaryTable(
        title="Further test sets",
        columns=("optimizer", *names),
        rows=tuple(rows),
        notes=("Accuracy in percent at the configuration that validation selects.",),
    )
