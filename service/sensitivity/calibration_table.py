"""Table of the calibration of the selected configurations."""

from service.sensitivity.number_format import accuracy_label, curvature_label, split_label
from service.sensitivity.schemas import SweepSummary
from service.sensitivity.summary_tables import SummaryTable

__all__ = ["calibration_table"]

_SPLITS = ("validation", "ood")


def calibration_table(summary: SweepSummary) -> SummaryTable:
    """Calibration at the selected configuration, one row per optimizer; no rows if unmeasured."""
    splits = [
        split
        for split in _SPLITS
        if any(split in optimizer.best_config.calibration for optimizer in summary.optimizers)
    ]
    rows = []
    for optimizer in summary.optimizers if splits else ():
        cells = [optimizer.title]
        for split in splits:
            found = optimizer.best_config.calibration.get(split)
            nll, brier = (found.nll, found.brier) if found else (None, None)
            cells += ["–" if value is None else curvature_label(value) for value in (nll, brier)]
            cells.append(accuracy_label(found.ece if found else None))
        rows.append(tuple(cells))
    return SummaryTable(
        title="Calibration",
        columns=(
            "optimizer",
            *(
                f"{name} {split_label(split)}"
                for split in splits
                for name in ("NLL", "Brier", "ECE %")
            ),
        ),
        rows=tuple(rows),
        notes=(
            "At the selected configuration, mean over seeds; lower is better. NLL: loss; ECE:"
            " expected calibration error with 15 bins of equal width. OOD: mean over the corrupted"
            " sets.",
        ),
    )
