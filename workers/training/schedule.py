"""Schedules of the learning rate."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["learning_rate_factor"]


def learning_rate_factor(
    schedule: Literal["constant", "cosine", "step"],
    progress_epochs: float,
    *,
    epochs: int,
    warmup_epochs: int = 0,
) -> float:
    """Return the factor of the learning rate at a point of the training.

    Args:
        schedule: ``cosine`` falls to 0 at the end (Loshchilov & Hutter 2017); ``step`` divides by
            10 at 1/2 and at 3/4 of all epochs (He et al. 2016).
        progress_epochs: Completed epochs, with the fraction of the present one.
        epochs: Number of epochs.
        warmup_epochs: Epochs in which the factor first rises linearly from 0.
    """
    warmup = min(1.0, progress_epochs / warmup_epochs) if warmup_epochs else 1.0
    if schedule == "cosine":
        share = max(0.0, progress_epochs - warmup_epochs) / (epochs - warmup_epochs)
        return warmup * 0.5 * (1.0 + math.cos(math.pi * share))
    if schedule == "step":
        return warmup * 0.1 ** sum(progress_epochs >= share * epochs for share in (0.5, 0.75))
    return warmup
