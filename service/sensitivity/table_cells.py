"""Cells of tables of summaries and comparisons, as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.sensitivity.axis_schemas import AxisSummary, Tolerance
from service.sensitivity.configuration_schemas import BestConfig
from service.sensitivity.number_format import RAISED_MARK
from service.sensitivity.strict_schema import Interval
from workers.hyperparameter_text import value_text
from workers.scores import Score
from workers.spec.configuration import freeze_value

__all__ = [
    "SHOWN_FACTORS",
    "corrected_cell",
    "difference_cell",
    "edge_mark",
    "number_cell",
    "raised_mark",
    "score_cell",
    "tolerance_cells",
    "trials_cell",
    "value_cell",
]

SHOWN_FACTORS = (2.0, 10.0)
"""Factors k of the columns of S(k); the JSON has the others."""


def value_cell(configuration: Mapping[str, Any], name: str) -> str:
    """A hyperparameter's value as text; a dash where the search does not vary it."""
    if name not in configuration:
        return "–"
    return value_text(freeze_value(configuration[name]))


def edge_mark(axis: AxisSummary | None) -> str:
    """A * for a value on the edge of those tried, unless it is 0, the smallest possible."""
    return "*" if axis is not None and axis.on_edge and axis.best != 0 else ""


def difference_cell(value: float | None, interval: Interval | None, score: Score) -> str:
    """A difference of scores with its interval."""
    if interval is None:
        return score.signed(value)
    return f"{score.signed(value)} [{score.signed(interval.low)}, {score.signed(interval.high)}]"


def number_cell(value: float | None, precision: str) -> str:
    """A number in a format; a dash for None."""
    return "–" if value is None else format(value, precision)


def trials_cell(expected: float | None) -> str:
    """Expected configurations until a target."""
    return "never" if expected is None else f"{expected:.1f}"


def score_cell(value: float | None, interval: Interval | None, score: Score) -> str:
    """A score or a cost as text, with the larger half-width of its interval."""
    if value is None or interval is None:
        return score.text(value)
    half = max(value - interval.low, interval.high - value)
    return f"{score.text(value)} ± {score.text(half)}"


def corrected_cell(value: float | None, interval: Interval | None, score: Score) -> str:
    """A cost or a share as text, corrected for seed noise, with its interval."""
    if interval is None or interval.estimate is None:
        return score.text(value)
    ends = f"[{score.text(interval.low)}, {score.text(interval.high)}]"
    return f"{score.text(interval.estimate)} {ends}"


def tolerance_cells(tolerance: Tolerance | None, score: Score) -> Iterator[str]:
    """Cells of what a wrong learning rate costs, and of how many decades are good."""
    if tolerance is None:
        yield from ("–",) * (len(SHOWN_FACTORS) + 1)
        return
    for off in tolerance.off_by:
        if off.factor in SHOWN_FACTORS:
            yield corrected_cell(off.loss, off.loss_interval, score)
    interval, bound = tolerance.width_interval, "≥ " * tolerance.width_is_lower_bound
    if interval is None or interval.estimate is None:
        yield f"{bound}{tolerance.width:.1f}"
    else:
        yield f"{bound}{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def raised_mark(best: BestConfig, metric: str) -> str:
    """The mark of a score to which a trial worse than a guess contributes."""
    return RAISED_MARK * (metric in best.raised_to_chance)
