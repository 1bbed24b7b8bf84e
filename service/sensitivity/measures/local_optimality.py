"""Certificate that no single-axis neighbour of the best configuration is better.

A configuration is locally optimal on its grid if changing any one hyperparameter to the next value
on either side (a category: to any other value) does not improve the score. The certificate holds
only where every such neighbour was measured: a best configuration at the end of an axis has a
neighbour beyond the grid, and a neighbour that failed or was pruned says nothing.

With seeds, each neighbour is compared with the best configuration by a paired t interval over their
common seeds, at a level that all neighbours hold together (Bonferroni). ``certain`` demands that
every interval excludes an improvement. The best configuration was selected for its score, which
therefore flatters it: ``certain`` is necessary, not sufficient; fresh seeds of the best and its
neighbours decide.

Source: Wen et al. 2025, "Fantastic pretraining optimizers and where to find them",
    arXiv:2509.02046, whose coordinate descent ends at such a configuration (abstract read; the
    procedure cited from memory). They move on when a neighbour improves by more than a threshold;
    here the threshold is the interval.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["Certificate", "Neighbour", "NeighbourStatus", "certify", "next_value"]

Floats = NDArray[np.float64]
NeighbourStatus = Literal["worse", "equal", "better", "not_run", "off_grid"]

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A configuration that differs from the best one on one axis.

    Attributes:
        axis: Index of that axis.
        place: Index of its value on the axis; -1 or the number of values beyond the grid.
        status: Whether it is worse, equal or better, was not measured, or lies off the grid.
        difference: Its score less that of the best configuration, positive if better; None where
            it was not measured.
        low: Lower end of the interval of the difference; None with fewer than two common seeds.
        high: Upper end.
    """

    axis: int
    place: int
    status: NeighbourStatus
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whether the best configuration is locally optimal on its grid.

    Attributes:
        holds: Every neighbour was measured and none is better.
        certain: Every interval excludes an improvement as well; None without intervals of all
            neighbours.
        neighbours: By axis, then value.
        level: Confidence of each interval.
    """

    holds: bool
    certain: bool | None
    neighbours: tuple[Neighbour, ...]
    level: float


def certify(
    scores: Floats,
    best: Sequence[int],
    shape: Sequence[int],
    *,
    ordered: Sequence[bool],
    bounded: Callable[[int, int], bool] = lambda axis, place: False,
    maximize: bool = True,
) -> Certificate:
    """Compare the best configuration with its single-axis neighbours.

    Args:
        scores: [C, S] over the configurations of a full grid in C order and seeds; NaN where
            missing.
        best: Index of the best configuration's value on each axis.
        shape: Number of values of each axis; an axis with one value has no neighbour.
        ordered: Whether the values of each axis are ordered numbers; otherwise any other value is
            a neighbour.
        bounded: Whether there can be no value beyond an end of an axis, by axis and place.
        maximize: Whether higher scores are better.
    """
    sign = 1.0 if maximize else -1.0
    own = (
        sign * scores[int(np.ravel_multi_index(tuple(best), tuple(shape)))] if shape else scores[0]
    )
    places = [
        (axis, place)
        for axis, at in enumerate(best)
        if shape[axis] > 1
        for place in ((at - 1, at + 1) if ordered[axis] else range(shape[axis]))
        if place != at and not (_beyond(place, shape[axis]) and bounded(axis, place))
    ]
    level = 1 - (1 - _CONFIDENCE) / max(1, len(places))
    found = []
    for axis, place in places:
        if _beyond(place, shape[axis]):
            found.append(Neighbour(axis, place, "off_grid"))
            continue
        there = list(best)
        there[axis] = place
        other = sign * scores[int(np.ravel_multi_index(tuple(there), tuple(shape)))]
        found.append(_compare(axis, place, other, own, level))
    statuses = {neighbour.status for neighbour in found}
    upper = [neighbour.high for neighbour in found]
    return Certificate(
        holds=bool(found) and statuses <= {"worse", "equal"},
        certain=None
        if not found or any(high is None for high in upper)
        else all(high is not None and high <= 0 for high in upper),
        neighbours=tuple(found),
        level=level,
    )


def next_value(values: Sequence[float], *, upward: bool, is_log: bool, is_integer: bool) -> float:
    """The value beyond an end of an axis that continues its spacing.

    Args:
        values: Rising, at least two.
        upward: Beyond the largest rather than the smallest.
        is_log: Continue the ratio of the last two values, not their difference; a last pair with a
            value of 0 or less continues the difference.
        is_integer: Round the result.
    """
    end, inner = (values[-1], values[-2]) if upward else (values[0], values[1])
    geometric = is_log and end > 0 and inner > 0
    beyond = end * (end / inner) if geometric else end + (end - inner)
    if is_integer:
        rounded = round(beyond)
        return rounded if rounded != end else int(end) + (1 if upward else -1)
    return float(f"{beyond:.6g}")


def _beyond(place: int, size: int) -> bool:
    """Whether a place is off its axis."""
    return not 0 <= place < size


def _compare(axis: int, place: int, other: Floats, own: Floats, level: float) -> Neighbour:
    """One measured neighbour; higher is better."""
    known, own_known = ~np.isnan(other), ~np.isnan(own)
    if not known.any():
        return Neighbour(axis, place, "not_run")
    difference = round(float(other[known].mean() - own[own_known].mean()), 12)
    status: NeighbourStatus = "equal"
    if difference:
        status = "better" if difference > 0 else "worse"
    paired = (other - own)[known & own_known]
    if paired.size < 2:
        return Neighbour(axis, place, status, difference)
    quantile = float(stdtrit(paired.size - 1, (1 + level) / 2))
    half = quantile * float(paired.std(ddof=1)) / math.sqrt(paired.size)
    centre = float(paired.mean())
    return Neighbour(axis, place, status, difference, centre - half, centre + half)
