"""Split and axis bounds of figures that show curvature."""

import math
from collections.abc import Sequence

import numpy as np

from service.sensitivity.errors import NotAvailableError, UnknownNameError
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.trial_table import TrialTable

__all__ = ["curvature_bounds", "curvature_split", "is_measured"]

# The scale reaches this far, in decades, above and below the median curvature; values beyond it
# have the colour or the place of its end.
_DECADES = 3


def curvature_bounds(values: Sequence[Floats]) -> tuple[float, float]:
    """Whole decades around the positive curvatures, near their median.

    Args:
        values: [C] per optimizer, NaN where not measured.
    """
    known = np.concatenate([of_optimizer.ravel() for of_optimizer in values])
    positive = known[known > 0]
    if not positive.size:
        return 1e-3, 1.0
    logs = np.log10(positive)
    median = float(np.median(logs))
    low = max(float(logs.min()), median - _DECADES)
    high = min(float(logs.max()), median + _DECADES)
    if high - low < 1:
        low, high = low - 0.5, high + 0.5
    return 10 ** math.floor(low), 10 ** math.ceil(high)


def curvature_split(table: TrialTable, metric: str, split: str | None) -> str:
    """The split to show: the given one, or by default "ood" where it was measured.

    Raises:
        NotAvailableError: The metric was not measured on any split.
        UnknownNameError: The metric was not measured on the given split.
    """
    available = [name for name in table.curvature_splits if is_measured(table, metric, name)]
    if not available:
        raise NotAvailableError(
            "not_measured", f"No {metric} was measured.", ("ood_accuracy", "val_accuracy")
        )
    if split is None:
        return "ood" if "ood" in available else available[0]
    if split not in available:
        raise UnknownNameError("split", split, available)
    return split


def is_measured(table: TrialTable, metric: str, split: str) -> bool:
    """Whether any trial has this curvature."""
    return any(not np.isnan(trials.curvature(metric, split)).all() for trials in table.by_optimizer)
