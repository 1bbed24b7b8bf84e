"""Rank correlations of curvature with accuracy: do flat minima generalise here?

Ranks, not values, because Tr(H) spans 26 orders of magnitude and can be negative. Three readings:
over all configurations (tau-b, Spearman); within lines of the grid along which one hyperparameter
changes (the granulated coefficient, which an effect of the other hyperparameter cannot cause); and
with diverged configurations ranked as the sharpest, because omitting them omits the worst.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from service.sensitivity import statistics
from service.sensitivity.optimizer_trials import Floats

__all__ = [
    "Association",
    "associate",
    "granulated_kendall",
    "kendall_tau",
    "learned",
    "seed_median",
]

# A network has learned when it made half of the best configuration's progress over chance. Flatter
# than that is trivial: a network that ignores its input has no curvature at all.
LEARNED_FRACTION = 0.5

# Up to this many points all pairs are compared at once; beyond, SciPy's O(n log n) method is
# faster (which fails below 3 points).
_PAIRWISE_UP_TO = 256


@dataclass(frozen=True, slots=True)
class Association:
    """Rank correlation of a curvature metric with accuracy; NaN where undefined.

    Attributes:
        n: Configurations with both numbers.
        kendall_tau: tau-b in [-1, 1]; negative: flatter is better.
        spearman_rho: Likewise.
        granulated: tau along each hyperparameter, averaged over the lines of the grid.
        lines: Number of lines of the grid where tau is defined.
        psi: Mean of ``granulated``.
        kendall_tau_diverged_as_sharpest: tau-b with diverged configurations added as the sharpest.
        n_learned: Configurations among the n that learned.
        kendall_tau_learned: tau-b among those.
    """

    n: int
    kendall_tau: float
    spearman_rho: float
    granulated: dict[str, float]
    lines: dict[str, int]
    psi: float
    kendall_tau_diverged_as_sharpest: float
    n_learned: int
    kendall_tau_learned: float


def seed_median(values: Floats) -> Floats:
    """Median over the last axis without NaN; NaN where all are NaN (every seed diverged)."""
    ordered = np.sort(values, axis=-1)  # NaN last
    known = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    low, high = (np.maximum(known - 1, 0) // 2, np.minimum(known // 2, values.shape[-1] - 1))
    median: Floats = (np.take_along_axis(ordered, low, -1) + np.take_along_axis(ordered, high, -1))[
        ..., 0
    ] / 2
    return median


def learned(scores: Floats, best: float, chance: float) -> NDArray[np.bool_]:
    """Whether each configuration made at least half of the best one's progress over chance.

    Args:
        scores: [N] oriented scores.
        best: The best oriented score over all optimizers.
        chance: That of a uniform guess.
    """
    threshold = chance + LEARNED_FRACTION * (best - chance)
    reached: NDArray[np.bool_] = (scores >= threshold) & (scores > chance)
    return reached


def associate(
    curvature: Floats,
    scores: Floats,
    *,
    diverged: NDArray[np.bool_],
    learned: NDArray[np.bool_],
    grid: Mapping[str, int] | None,
) -> Association:
    """Rank correlations of curvature with accuracy over configurations.

    Args:
        curvature: [N] seed medians; NaN where not measured.
        scores: [N] seed means.
        diverged: [N], whether every trial of the configuration diverged.
        learned: [N], see :func:`learned`.
        grid: Number of values of each hyperparameter of a grid by name, in order; None elsewhere
            (nothing granulated then).

    Source: Jiang et al. 2019, "Fantastic generalization measures and where to find them", eqs. 5
        and 6.
    """
    known = ~np.isnan(curvature) & ~np.isnan(scores)
    sharpest = np.where(np.isnan(curvature) & diverged, np.inf, curvature)
    granulated, lines = {}, {}
    shape = tuple((grid or {}).values())
    for axis, name in enumerate(grid or ()):
        along = (statistics.along(one, shape, axis).T for one in (curvature, scores))
        granulated[name], lines[name] = granulated_kendall(*along)
    axes = [tau for tau in granulated.values() if not math.isnan(tau)]
    return Association(
        n=int(known.sum()),
        kendall_tau=kendall_tau(curvature, scores),
        spearman_rho=_spearman_rho(curvature[known], scores[known]),
        granulated=granulated,
        lines=lines,
        psi=sum(axes) / len(axes) if axes else math.nan,
        kendall_tau_diverged_as_sharpest=kendall_tau(sharpest, scores),
        n_learned=int((known & learned).sum()),
        kendall_tau_learned=kendall_tau(curvature[learned], scores[learned]),
    )


def kendall_tau(x: Floats, y: Floats) -> float:
    """Kendall's tau-b without NaN; NaN below two points or if one variable is constant."""
    known = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[known], y[known]
    if x.size > _PAIRWISE_UP_TO:
        return float(stats.kendalltau(x, y, method="asymptotic").statistic)
    order_x, order_y = ((v[:, None] > v).astype(int) - (v[:, None] < v) for v in (x, y))
    pairs = math.sqrt(float((order_x**2).sum()) * float((order_y**2).sum()))
    return float((order_x * order_y).sum()) / pairs if pairs else math.nan


def granulated_kendall(x: Floats, y: Floats) -> tuple[float, int]:
    """Mean tau-b along the last axis over the lines where it is defined, and their number.

    Args:
        x: [lines, points].
        y: [lines, points].
    """
    defined = [tau for tau in map(kendall_tau, x, y) if not math.isnan(tau)]
    return (sum(defined) / len(defined) if defined else math.nan), len(defined)


def _spearman_rho(x: Floats, y: Floats) -> float:
    """Pearson's correlation of midranks; NaN if one variable is constant."""
    if x.size < 2:
        return math.nan
    ranks = np.stack([stats.rankdata(x), stats.rankdata(y)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=1)
    return float(ranks[0] @ ranks[1] / norms.prod()) if norms.all() else math.nan
