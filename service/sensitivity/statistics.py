"""Point statistics of tuning sensitivity: pure functions on arrays of scores.

Symbols: ``V`` validation and ``D`` evaluation scores (OOD accuracy where measured), one per
configuration, the mean over seeds of the imputed accuracy; ``N`` configurations; ``c`` chance;
``eps`` a tolerance in accuracy.

Every function broadcasts over leading axes, so that the seed bootstrap calls the very same code on
``[resamples, configurations]``. Flat functions take ``[..., N]``, grid functions ``[..., lr, wd]``.
NaN marks a configuration without a score, which is left out; the result is NaN if none is left.
"""

import numpy as np
from numpy.typing import NDArray

from service.sensitivity.optimizer_trials import Floats

__all__ = [
    "functional_anova",
    "interquartile_mean",
    "known_mean",
    "lr_curve",
    "max_minus_mean",
    "near_optimal_fraction",
    "seed_means",
    "select",
    "selected",
    "selection_regret",
    "tunability",
    "wd_curve",
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

    Configurations are ordered by learning rate, then weight decay, so ties go to the lowest
    learning rate, then the lowest weight decay. OOD accuracy is never looked at.

    Args:
        val: [..., N].

    Returns:
        [...] of indices.

    Source: the paper, Fig. 1; Choi et al. 2019, "On empirical comparisons of optimizers".
    """
    chosen: NDArray[np.intp] = np.argmax(np.where(np.isnan(val), -np.inf, val), axis=-1)
    return chosen


def selected(val: Floats, values: Floats) -> Floats:
    """``values`` at the configuration that ``val`` selects, along the last axis."""
    at = select(val)[..., None]
    chosen: Floats = np.take_along_axis(values, at, axis=-1)[..., 0]
    return chosen


def max_minus_mean(scores: Floats) -> Floats:
    """Max - mean over the last axis, in [0, 1 - c]; lower is flatter.

    - Of D over all configurations it is the **mean regret**: what a random configuration costs.
    - Of :func:`lr_curve` it is the **learning-rate sensitivity**, E[min(l, l0) - l*] with accuracy
      for loss.

    0 also for a network that is random everywhere: never report it without the best accuracy.

    Source: Wortsman et al. 2023, "Small-scale proxies for large-scale Transformer training
        instabilities".
    """
    difference: Floats = np.fmax.reduce(scores, axis=-1) - known_mean(scores)
    return difference


def lr_curve(val: Floats, scores: Floats) -> Floats:
    """a(lr): the score at the validation-best weight decay of each learning rate.

    Args:
        val: [..., lr, wd].
        scores: [..., lr, wd], what to read there.

    Returns:
        [..., lr] in [c, 1].
    """
    return selected(val, scores)


def wd_curve(val: Floats, scores: Floats) -> Floats:
    """The score at the validation-best learning rate of each weight decay, [..., wd]."""
    return selected(np.swapaxes(val, -1, -2), np.swapaxes(scores, -1, -2))


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


def tunability(val: Floats, scores: Floats, default: tuple[int, int]) -> dict[str, Floats]:
    """What tuning gains over a default configuration; may be negative.

    ``overall`` D[argmax V] - D[default]; ``learning_rate`` and ``weight_decay``: only that one
    tuned (by validation), the other at its default.

    Args:
        val: [..., lr, wd].
        scores: [..., lr, wd].
        default: Index of the default (learning rate, weight decay).

    Source: Probst, Boulesteix & Bischl 2019, "Tunability".
    """
    rate, decay = default
    reference = scores[..., rate, decay]
    flat = (*val.shape[:-2], -1)
    return {
        "overall": selected(val.reshape(flat), scores.reshape(flat)) - reference,
        "learning_rate": selected(val[..., :, decay], scores[..., :, decay]) - reference,
        "weight_decay": selected(val[..., rate, :], scores[..., rate, :]) - reference,
    }


def functional_anova(scores: Floats) -> dict[str, float]:
    """Exact functional ANOVA of a full grid: the share of Var(D) each hyperparameter explains.

    V = Var(D), V_lr = Var_lr(mean_wd D), V_wd likewise, V_int = V - V_lr - V_wd, all population
    variances.

    Args:
        scores: [lr, wd], no NaN.

    Returns:
        ``total_variance`` and the shares ``learning_rate``, ``weight_decay``, ``interaction``,
        which sum to 1 (NaN when every score is the same: nothing to explain).

    Source: Hutter, Hoos & Leyton-Brown 2014, "An efficient approach for assessing hyperparameter
        importance"; on a full grid it is this closed form and needs no forest.
    """
    total = float(scores.var())
    if total <= np.finfo(np.float64).eps ** 2:
        nothing = float("nan")
        return {
            "total_variance": 0.0,
            "learning_rate": nothing,
            "weight_decay": nothing,
            "interaction": nothing,
        }
    rate = float(scores.mean(axis=1).var()) / total
    decay = float(scores.mean(axis=0).var()) / total
    return {
        "total_variance": total,
        "learning_rate": rate,
        "weight_decay": decay,
        "interaction": max(0.0, 1.0 - rate - decay),
    }


def known_mean(values: Floats) -> Floats:
    """Mean over the last axis without NaN; NaN where all are NaN."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)
    return mean
