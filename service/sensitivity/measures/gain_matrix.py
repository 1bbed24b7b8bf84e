"""Gain of a tuned optimizer over an untuned one, for every ordered pair.

    gain[a, b] = score of b at its tuned configuration - score of a at its default configuration

The diagonal is what tuning gains for one optimizer. A row that is positive throughout belongs to an
optimizer whose default configuration any tuned one beats.

Source: Schmidt, Schneider & Hennig 2021, "Descending through a crowded valley", whose heat map of
    improvements when switching from an untuned optimizer to a tuned one this is (abstract read; the
    figure cited from memory). They count one run per cell and the median over tasks.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["gain_matrix"]

Floats = NDArray[np.float64]


def gain_matrix(untuned: Floats, tuned: Floats, *, maximize: bool = True) -> Floats:
    """Gains of tuned over untuned optimizers.

    Args:
        untuned: [A] scores at the default configurations; NaN where it was not tried.
        tuned: [A] scores at the tuned configurations.
        maximize: Whether higher scores are better.

    Returns:
        [A untuned, A tuned], positive where the tuned optimizer is better; NaN in the row of an
        optimizer whose default was not tried.
    """
    sign = 1.0 if maximize else -1.0
    gains: Floats = sign * (tuned[None, :] - untuned[:, None])
    return gains
