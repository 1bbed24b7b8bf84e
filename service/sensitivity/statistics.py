"""Point statistics of tuning sensitivity: pure functions on arrays of scores.

Symbols: ``V`` validation and ``D`` evaluation scores (on OOD data where measured), one per
configuration, the mean over seeds of the imputed score, oriented so that higher is better:
accuracy, or the loss with its sign changed; ``N`` configurations; ``c`` chance; ``eps`` a
tolerance.

Every function broadcasts over leading dimensions, so that the seed bootstrap calls the very same
code on ``[resamples, configurations]``. Functions of a grid take ``[..., N]`` with its ``shape``,
the number of values of each hyperparameter; :func:`along` arranges it as lines of one of them.
NaN marks a configuration without a score, which is left out; the result is NaN if none is left.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from service.sensitivity.optimizer_trials import Floats

__all__ = [
    "VarianceShares",
    "along",
    "axis_regret",
    "functional_anova",
    "interquartile_mean",
    "known_mean",
    "max_minus_mean",
    "near_optimal_fraction",
    "seed_means",
    "select",
    "selected",
    "selection_regret",
    "tunability",
]

# Seed means are rounded before anything ranks or selects by them: 0.1 + 0.2 and 0.3 are the same
# accuracy.
SCORE_DECIMALS = 12


def seed_means(accuracy: Floats) -> Floats:
    """Score of each configuration: the mean over seeds, rounded to 12 decimals.

    Args:
        accuracy: [..., N, seeds], NaN where a trial is missing.

    Returns:
        [..., N] in [0, 1]; NaN for a configuration without a trial.
    """
    return np.round(known_mean(accuracy), SCORE_DECIMALS)


def select(val: Floats) -> NDArray[np.intp]:
    """The configuration that validation chooses: argmax V, the first of equals.

    Configurations are ordered by learning rate, weight decay, then the other hyperparameters, so
    ties go to the lowest learning rate, then the lowest weight decay. OOD accuracy is never looked
    at.

    Args:
        val: [..., N].

    Returns:
        [...] of indices.

    Source: the paper, Fig. 1; Choi et al. 2019, "On empirical comparisons of optimizers".
    """
    chosen: NDArray[np.intp] = np.argmax(val, axis=-1)
    if np.isnan(_taken(val, chosen)).any():  # argmax prefers NaN
        chosen = np.argmax(np.where(np.isnan(val), -np.inf, val), axis=-1)
    return chosen


def selected(val: Floats, values: Floats) -> Floats:
    """``values`` at the configuration that ``val`` selects, along the last axis."""
    return _taken(values, select(val))


def max_minus_mean(scores: Floats) -> Floats:
    """Max - mean over the last axis, in [0, 1 - c]; lower is flatter.

    - Of D over all configurations it is the **mean regret**: what a random configuration costs.
    - Of the curve of a hyperparameter (see :func:`along`) it is the **sensitivity** to it: of the
      learning rate E[min(l, l0) - l*], with accuracy for loss.

    0 also for a network that is random everywhere: never report it without the best accuracy.

    Source: Wortsman et al. 2023, "Small-scale proxies for large-scale Transformer training
        instabilities".
    """
    difference: Floats = np.fmax.reduce(scores, axis=-1) - known_mean(scores)
    return difference


def along(scores: Floats, shape: tuple[int, ...], axis: int) -> Floats:
    """Scores of a grid by the value of one hyperparameter.

    With :func:`selected` it gives the **curve** a(v) of the hyperparameter: the score at the
    validation-best choice of all others, for each of its values v.

    Args:
        scores: [..., N].
        shape: Number of values of each hyperparameter; their product is N.
        axis: Index of the hyperparameter.

    Returns:
        [..., values, N / values]; the others in their order.
    """
    before, values = math.prod(shape[:axis]), shape[axis]
    lines = scores.reshape(*scores.shape[:-1], before, values, -1).swapaxes(-3, -2)
    return lines.reshape(*scores.shape[:-1], values, -1)


def axis_regret(lines: Floats) -> Floats:
    """Mean over the others of max - mean along one hyperparameter, in [0, 1 - c].

    What a random value of this hyperparameter costs while all others stay where they are. Of the
    only hyperparameter it is the mean regret.

    Args:
        lines: [..., values, others] from :func:`along`.
    """
    return known_mean(max_minus_mean(lines.swapaxes(-1, -2)))


def selection_regret(val: Floats, scores: Floats) -> Floats:
    """Max D - D[argmax V] >= 0: the cost of selecting on validation, not on the evaluation set.

    Source: Gulrajani & Lopez-Paz 2021, "In search of lost domain generalization" (oracle against
        validation).
    """
    regret: Floats = np.fmax.reduce(scores, axis=-1) - selected(val, scores)
    return regret


def near_optimal_fraction(scores: Floats, best: float, epsilon: float) -> float:
    """Share of configurations with D >= best - eps, in [0, 1]; higher is easier to tune.

    Relative to the optimizer's own best it measures the width of its good region (even of a poor
    optimizer), relative to the best of all optimizers the competitive part of its grid: report
    both.

    Source: one point of the score profile of Agarwal et al. 2021 (rliable).
    """
    known = scores[~np.isnan(scores)]
    if not known.size:
        return float("nan")
    return float(np.mean(known >= np.round(best - epsilon, SCORE_DECIMALS)))


def interquartile_mean(values: Floats) -> float:
    """Mean of the middle half: floor(n / 4) values are cut at each end.

    Source: Agarwal et al. 2021 (rliable), as ``scipy.stats.trim_mean(x, 0.25)``.
    """
    known = np.sort(values[~np.isnan(values)])
    cut = known.size // 4
    return float(known[cut : known.size - cut].mean()) if known.size else float("nan")


def tunability(
    val: Floats, scores: Floats, shape: tuple[int, ...], default: int
) -> tuple[Floats, list[Floats]]:
    """What tuning gains over a default configuration; may be negative.

    Args:
        val: [..., N].
        scores: [..., N].
        shape: Number of values of each hyperparameter.
        default: Index of the default configuration.

    Returns:
        D[argmax V] - D[default]; and for each hyperparameter the gain if only that one is tuned (by
        validation) and the others are at their defaults.

    Source: Probst, Boulesteix & Bischl 2019, "Tunability".
    """
    reference = scores[..., default]
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    gains = []
    for axis, stride in enumerate(strides):
        first = default - default // stride % shape[axis] * stride
        line = slice(first, first + shape[axis] * stride, stride)
        gains.append(selected(val[..., line], scores[..., line]) - reference)
    return selected(val, scores) - reference, gains


@dataclass(frozen=True, slots=True)
class VarianceShares:
    """Shares of Var(D) that hyperparameters explain; NaN where every score is the same.

    Attributes:
        total: [...] Var(D), population variance.
        alone: [...] for each hyperparameter: the share that it explains alone.
        pairs: Shares that only two together explain, by their indices; empty where not computed.
    """

    total: Floats
    alone: tuple[Floats, ...]
    pairs: Mapping[tuple[int, int], Floats] = field(default_factory=dict)

    @property
    def interaction(self) -> Floats:
        """The share that no hyperparameter explains alone."""
        rest: Floats = np.where(self.total > 0, 1.0, math.nan)
        for share in self.alone:
            rest = rest - share
        return np.maximum(0.0, rest)


def functional_anova(
    scores: Floats, shape: tuple[int, ...], *, with_pairs: bool = False
) -> VarianceShares:
    """Exact functional ANOVA of a full grid: the share of Var(D) each hyperparameter explains.

    V_i = Var_i(mean of D over all others) and V_ij = Var_ij(mean of D over all but two) - V_i -
    V_j, over V = Var(D), all population variances.

    Args:
        scores: [..., N], no NaN.
        shape: Number of values of each hyperparameter.
        with_pairs: Whether to compute the shares of pairs.

    Source: Hutter, Hoos & Leyton-Brown 2014, "An efficient approach for assessing hyperparameter
        importance"; on a full grid it is this closed form and needs no forest.
    """
    total = scores.var(axis=-1)
    flat = total <= np.finfo(np.float64).eps ** 2
    divisor = np.where(flat, math.nan, total)
    axes = range(len(shape))
    alone = tuple(along(scores, shape, axis).mean(axis=-1).var(axis=-1) / divisor for axis in axes)
    pairs = {}
    for i, j in combinations(axes, 2) if with_pairs else ():
        others = tuple(axis - len(shape) for axis in axes if axis not in (i, j))
        means = scores.reshape(*total.shape, *shape).mean(axis=others)
        share = means.var(axis=(-2, -1)) / divisor - alone[i] - alone[j]
        pairs[i, j] = np.maximum(0.0, share)
    return VarianceShares(np.where(flat, 0.0, total), alone, pairs)


def known_mean(values: Floats) -> Floats:
    """Mean over the last axis without NaN; NaN where all are NaN."""
    mean: Floats = values.sum(axis=-1) / max(1, values.shape[-1])
    if not values.shape[-1] or np.isnan(mean).any():
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)
    return mean


def _taken(values: Floats, at: NDArray[np.intp]) -> Floats:
    """``values`` at indices along the last axis; the other axes broadcast."""
    chosen: Floats
    if values.ndim == 2 and values.shape[:1] == at.shape:  # the most frequent, several times faster
        chosen = values[np.arange(len(values)), at]
    else:
        chosen = np.take_along_axis(values, at[..., None], axis=-1)[..., 0]
    return chosen
