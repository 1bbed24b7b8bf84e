"""Display of durations, times, names and comparisons on the page."""

from __future__ import annotations

import math
from datetime import datetime

from service.sensitivity.number_format import curvature_label, points_label, split_label
from service.sensitivity.schemas import PairComparison
from workers.catalog import optimizers
from workers.metrics import METRICS
from workers.moments import moment_text

__all__ = [
    "comparison_sentence",
    "duration",
    "metric_title",
    "moment",
    "number",
    "optimizer_title",
]


def duration(seconds: float | None) -> str:
    """A duration in at most two units: 42 s, 3 min, 2 h 5 min, 3 d 4 h."""
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
    """A time to the second, in UTC."""
    return moment_text(value) if value else "–"


def number(value: float | None) -> str:
    """A number of any size: integers in full, others with three digits."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return curvature_label(value)


def metric_title(key: str) -> str:
    """``hessian_trace.ood`` as "Tr(H), ood"; with its unit."""
    name, _, suffix = key.partition(".")
    metric = METRICS.get(name)
    if metric is None:
        return key
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.title}{f', {split_label(suffix)}' if suffix else ''}{unit}"


def optimizer_title(label: str) -> str:
    """Display name of an optimizer; a variant has its own label."""
    return optimizers.title(label) if label in optimizers.entries() else label


def comparison_sentence(pair: PairComparison) -> str:
    """A comparison of two optimizers in one sentence."""
    sides = [(optimizer_title(pair.a), pair.wins), (optimizer_title(pair.b), pair.losses)]
    mean = pair.mean_difference
    if mean is None:
        return f"{sides[0][0]} and {sides[1][0]} share no configuration."
    if mean < 0:
        sides.reverse()
    (better, ahead), (worse, behind) = sides
    if points_label(abs(mean)) == points_label(0):
        gist = f"{better} and {worse} are level on average"
    else:
        gist = f"{better} is {points_label(abs(mean))} better than {worse} on average"
    ties = f", level on {pair.ties}" if pair.ties else ""
    counts = f"{better} ahead on {ahead}, {worse} on {behind}{ties} of {pair.n_blocks}"
    p = pair.wilcoxon_p_holm
    if p is None:
        verdict = "too few configurations to test"
    elif p < 0.05:
        verdict = f"consistent within this sweep (p = {p:.2g})"
    else:
        verdict = f"no consistent difference within this sweep (p = {p:.2g})"
    return f"{gist}: {counts} shared configurations; {verdict}."
