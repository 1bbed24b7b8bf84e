"""Numbers, moments and names as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from service.summaries.labels import curvature_label
from workers.catalog import optimizers
from workers.metrics import METRICS

__all__ = [
    "SPLIT_TITLES",
    "duration",
    "metric_title",
    "moment",
    "number",
    "optimizer_title",
]

SPLIT_TITLES = {"validation": "validation", "ood": "OOD"}


def duration(seconds: float | None) -> str:
    """Two units at most: 42 s, 3 min, 2 h 5 min, 3 d 4 h."""
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
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if value else "–"


def number(value: float | None) -> str:
    """As many digits as a reader needs."""
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
    return f"{metric.title}{f', {SPLIT_TITLES.get(suffix, suffix)}' if suffix else ''}{unit}"


def optimizer_title(label: str) -> str:
    """What people call an optimizer; a variant by its own label."""
    return optimizers.title(label) if label in optimizers.entries() else label
