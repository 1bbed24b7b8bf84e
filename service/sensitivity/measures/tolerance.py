"""Tolerance: what a wrong value of a positive hyperparameter costs, whatever range was tried.

On the curve a(x) of the score by the value x of the hyperparameter (all others at their
validation-best choice for each x, as in ``lr_curve``), with x^ the value of the selected
configuration:

- S(k) = a(x^) - (a(x^ / k) + a(x^ k)) / 2, the expected loss of score if x is k times too small or
  too large, either being as likely;
- W(eps), the decades of x within the grid where a(x) >= a(x^) - eps.

a is interpolated linearly in log x between the values tried, never beyond them. Neither depends on
the range of the grid, as the best less the mean over the grid does, so that a step size and an
initial step size eta_0 are comparable. Scores rise with quality: a loss enters with its sign
reversed.

Source: ours. With others retuned, as the learning-rate curves of Wortsman et al. 2023, "Small-scale
proxies for large-scale Transformer training instabilities" (arXiv 2309.14322), whose sensitivity is
a mean over a range.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["FACTORS", "loss_off_by", "width_within"]

Floats = NDArray[np.float64]

FACTORS = (2.0, 4.0, 10.0)
"""k of S(k)."""

_ROUNDING = 1e-9  # decades, so that a neighbour at exactly k is on the grid


def loss_off_by(curve: Floats, at: NDArray[np.intp], values: Floats, factor: float) -> Floats:
    """a(x^) - a(x^ * factor), the loss if the value is off by a factor.

    Args:
        curve: [..., L] scores by value; NaN where a value has no finished trial.
        at: [...], index of the selected value.
        values: [L], positive and rising, L at least 2.
        factor: Above 1 for a value too large, below 1 for one too small.

    Returns:
        [...]; NaN beyond the grid, and next to a value without a score. Negative where
        the evaluation disagrees with the validation that selects.
    """
    log = np.log10(values)
    wanted = log + math.log10(factor)
    lefts = np.clip(np.searchsorted(log, wanted + _ROUNDING, side="right") - 1, 0, log.size - 2)
    shares = (wanted - log[lefts]) / (log[lefts + 1] - log[lefts])
    shares = np.where(np.abs(shares - np.rint(shares)) < _ROUNDING, np.rint(shares), shares)
    left, share = lefts[at], shares[at]
    low, high, chosen = (_taken(curve, index) for index in (left, left + 1, at))
    with np.errstate(invalid="ignore"):
        there = np.where(share == 0, low, np.where(share == 1, high, low + share * (high - low)))
    loss: Floats = np.where((share < 0) | (share > 1), math.nan, chosen - there)
    return loss


def width_within(
    curve: Floats, at: NDArray[np.intp], values: Floats, epsilon: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """W(eps), and whether it is only a lower bound.

    Args:
        curve: [..., L] scores by value; NaN where a value has no finished trial.
        at: [...], index of the selected value.
        values: [L], positive and rising.
        epsilon: Tolerated loss of score, at least 0.

    Returns:
        Decades, in [0, log10(largest / smallest)]; and true where an end of the grid is within
        ``epsilon`` of the best, or a value has no score: the width continues where none was tried.
    """
    widths = np.diff(np.log10(values))
    chosen = np.take_along_axis(curve, at[..., None], axis=-1)
    margin = np.round(curve - (chosen - epsilon), 12)  # as seed means are rounded
    left, right = margin[..., :-1], margin[..., 1:]
    high, low = np.maximum(left, right), np.minimum(left, right)
    with np.errstate(invalid="ignore", divide="ignore"):
        crossed = np.where(high > low, high / (high - low), 1.0)
    share = np.where(low >= 0, 1.0, np.where(high < 0, 0.0, crossed))
    share = np.where(np.isnan(low), 0.0, share)
    ends = (margin[..., 0] >= 0) | (margin[..., -1] >= 0) | np.isnan(curve).any(axis=-1)
    width: Floats = share @ widths
    return np.where(np.isnan(chosen[..., 0]), math.nan, width), ends


def _taken(curve: Floats, at: NDArray[np.intp]) -> Floats:
    """The values of curves, [..., L], at one index of each."""
    flat = curve.reshape(-1, curve.shape[-1])
    taken: Floats = flat[np.arange(len(flat)), at.ravel()].reshape(curve.shape[:-1])
    return taken
