"""Numbers, intervals and tables of the report as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from service.sensitivity.number_format import curvature_label
from study.records import Estimate
from study.verdicts import Difference, Unit

__all__ = [
    "curvature_text",
    "difference_text",
    "estimate_text",
    "number_text",
    "percent_text",
    "table",
]

_MISSING = "–"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def percent_text(estimate: Estimate) -> str:
    """An accuracy in percent, or a cost in points, with its interval."""
    return _with_interval(estimate, lambda value: _plain(100 * value, 1))


def number_text(estimate: Estimate) -> str:
    """A pure number with its interval."""
    return _with_interval(estimate, lambda value: _plain(value, 1))


def difference_text(difference: Difference) -> str:
    """A difference with its sign and interval: points of accuracy, decades, or a correlation."""
    return estimate_text(difference.estimate, difference.unit)


def estimate_text(estimate: Estimate, unit: Unit) -> str:
    """A signed number with its interval."""
    if unit is Unit.POINTS:
        return _with_interval(estimate, lambda value: _signed(100 * value, 1))
    return _with_interval(estimate, lambda value: _signed(value, 2))


def curvature_text(value: float | None) -> str:
    """A curvature with three digits; a dash for None."""
    return _MISSING if value is None else curvature_label(value)


def _with_interval(estimate: Estimate, show: Callable[[float], str]) -> str:
    if estimate.value is None:
        return _MISSING
    if estimate.low is None or estimate.high is None:
        return show(estimate.value)
    return f"{show(estimate.value)} [{show(estimate.low)}, {show(estimate.high)}]"


def _signed(value: float, decimals: int) -> str:
    """A number with its sign; 0 has none."""
    plain = _plain(value, decimals)
    return f"+{plain}" if value > 0 and float(f"{value:.{decimals}f}") else plain


def _plain(value: float, decimals: int) -> str:
    """A number with a minus of its own, which text does not break after."""
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")
