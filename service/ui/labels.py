"""Text of numbers, durations, times, names and comparisons on pages."""

from __future__ import annotations

import math
from datetime import datetime

from service.sensitivity.number_format import (
    accuracy_label,
    curvature_label,
    split_label,
)
from service.sensitivity.schemas import PairComparison
from workers.catalog import optimizers
from workers.metrics import METRICS
from workers.moments import moment_text
from workers.scores import Score

__all__ = [
    "comparison_sentence",
    "counted",
    "duration",
    "integer",
    "metric_title",
    "moment",
    "number",
    "optimizer_title",
    "percentage",
]


def integer(value: int) -> str:
    """An integer with separated thousands."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """A number with its noun: 1 trial, 1,200 trials."""
    return f"{integer(value)} {noun}{'' if value == 1 else 's'}"


def percentage(fraction: float | None) -> str:
    """A fraction in percent with its sign; a dash for None."""
    return accuracy_label(fraction) + (" %" if fraction is not None else "")


def duration(seconds: float | None) -> str:
    """A duration in at most two units: 42 s, 3 min, 2 h 5 min, 3 d 4 h; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def moment(value: datetime | None) -> str:
    """A time to the second, in UTC; a dash for None."""
    return moment_text(value) if value else "–"


def number(value: float | None) -> str:
    """A number of any size, integers in full, others with three digits; a dash for None."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return curvature_label(value)


def metric_title(key: str) -> str:
    """Display name of a metric with its split and unit: ``hessian_trace.ood`` is "Tr(H), OOD"."""
    name, _, suffix = key.partition(".")
    metric = METRICS.get(name)
    if metric is None:
        return key
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.title}{f', {split_label(suffix)}' if suffix else ''}{unit}"


def optimizer_title(label: str) -> str:
    """Display name of an optimizer; the label of a variant is its own name."""
    return optimizers.title(label) if label in optimizers.entries() else label


def comparison_sentence(pair: PairComparison, score: Score) -> str:
    """A comparison of two optimizers in one sentence, from the side of the better one.

    Args:
        pair: Differences of their scores; a positive one means that the first is better.
        score: What ranks configurations.
    """
    sides = [(optimizer_title(pair.a), pair.wins), (optimizer_title(pair.b), pair.losses)]
    if not pair.same_space:
        return _selected_sentence(pair, sides[0][0], sides[1][0], score)
    mean = pair.mean_difference
    if mean is None:
        return f"{sides[0][0]} and {sides[1][0]} share no configuration."
    if mean < 0:
        sides.reverse()
    (better, ahead), (worse, behind) = sides
    if score.points(abs(mean)) == score.points(0):
        result = f"{better} and {worse} are level on average"
    else:
        result = f"{better} is {score.points(abs(mean))} better than {worse} on average"
    ties = f", level on {pair.ties}" if pair.ties else ""
    shared = counted(pair.n_blocks, "shared configuration")
    wins = f"{better} ahead on {ahead}, {worse} on {behind}{ties} of {shared}"
    p = pair.wilcoxon_p_holm
    if p is None:
        verdict = "too few configurations to test"
    elif p < 0.05:
        verdict = f"consistent within this sweep (p = {p:.2g})"
    else:
        verdict = f"no consistent difference within this sweep (p = {p:.2g})"
    return f"{result}: {wins}; {verdict}."


def _selected_sentence(pair: PairComparison, a: str, b: str, score: Score) -> str:
    """A comparison of two optimizers that search different spaces."""
    difference, interval = pair.best_difference, pair.best_difference_interval
    better, worse = (a, b) if difference >= 0 else (b, a)
    if score.points(abs(difference)) == score.points(0):
        result = f"{a} and {b} are level at their selected configurations"
    else:
        result = (
            f"{better} is {score.points(abs(difference))} better than {worse} at the selected"
            " configurations"
        )
    if interval is None:
        verdict = "without an interval"
    elif interval.low > 0 or interval.high < 0:
        verdict = "more than the seeds vary"
    else:
        verdict = "within what the seeds vary"
    return f"{result}, {verdict}; they search different spaces."
