"""Learning-rate sensitivity of Wortsman et al. 2023, in loss.

    E_{eta in [a, b]} [ min(l(A(eta)), l_0) - l* ],    l* = min_{eta in [a, b]} l(A(eta)),

the expected distance from the best loss when the learning rate is any of those in [a, b], evenly
on the log axis; l_0 is the loss at initialisation, so that a diverged run costs l_0 and not
infinity. It depends on [a, b]: numbers over different ranges are not comparable, and the range is
part of the result.

Source: Wortsman et al. 2023, "Small-scale proxies for large-scale Transformer training
    instabilities", arXiv:2309.14322, section 2.2. The abstract was read there; the formula in a
    transcription of the section that names it. Departures: l_0 is the loss of a uniform prediction,
    ln(classes), because no trial measures the loss before its first step; other hyperparameters are
    those that validation selects at each learning rate; min(., l_0) is applied to each run before
    the mean over seeds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LossSensitivity", "loss_sensitivity"]

Floats = NDArray[np.float64]

_EVEN = 1e-6  # largest relative difference between steps of evenly spaced learning rates


@dataclass(frozen=True, slots=True)
class LossSensitivity:
    """Learning-rate sensitivity in loss.

    Attributes:
        value: Mean over the learning rates given, as published; 0 or more.
        log_uniform: The same expectation by the trapezoidal rule on the log axis, which does not
            depend on how the learning rates are spaced; equal weights of its end points make it
            differ from ``value``.
        low: a, the smallest learning rate with a loss.
        high: b, the largest.
        best_loss: l*.
        initial_loss: l_0.
        n_rates: Learning rates with a loss.
        evenly_spaced: Whether they are evenly spaced on the log axis, as the mean assumes.
    """

    value: float
    log_uniform: float
    low: float
    high: float
    best_loss: float
    initial_loss: float
    n_rates: int
    evenly_spaced: bool


def loss_sensitivity(
    learning_rates: Floats, losses: Floats, initial_loss: float
) -> LossSensitivity | None:
    """Learning-rate sensitivity in loss.

    Args:
        learning_rates: [L], positive, rising.
        losses: [L, S] loss of each run; infinite where it diverged, NaN where it is missing.
        initial_loss: l_0, finite.

    Returns:
        None with fewer than two learning rates that have a loss.
    """
    clipped = np.minimum(losses, initial_loss)  # NaN stays
    known = ~np.isnan(clipped).all(axis=1)
    if int(known.sum()) < 2:
        return None
    curve = np.nanmean(clipped[known], axis=1)
    rates = learning_rates[known]
    excess = curve - curve.min()
    place = np.log(rates)
    steps = np.diff(place)
    return LossSensitivity(
        value=float(excess.mean()),
        log_uniform=float(np.trapezoid(excess, place) / (place[-1] - place[0])),
        low=float(rates[0]),
        high=float(rates[-1]),
        best_loss=float(curve.min()),
        initial_loss=initial_loss,
        n_rates=rates.size,
        evenly_spaced=bool(np.ptp(steps) <= _EVEN * steps.max()),
    )
