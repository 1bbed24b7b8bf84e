"""Scores of predicted classes and probabilities: loss, accuracy, Brier score, calibration error.

    NLL       mean of -log p(y)                            the loss; at least 0
    Brier     mean over examples of sum_k (p(k) - 1[k = y])^2                     in [0, 2]
    ECE       sum_m |B_m| / n * |accuracy(B_m) - mean confidence(B_m)|            in [0, 1]

with p the softmax of the logits, the confidence the largest p(k), and B_m the examples whose
confidence lies in ((m - 1) / 15, m / 15], m = 1, ..., 15. All in float64. An example whose loss is
not finite counts as wrong and makes the other scores NaN.

Sources: Brier (1950), "Verification of forecasts expressed in terms of probability"; Guo, Pleiss,
Sun & Weinberger (2017), "On calibration of modern neural networks", eqs. 2 to 5, with 15 bins as
there. ECE is biased upwards on few examples, so it is comparable only between sets of equal size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["CALIBRATION_BINS", "Scores", "mean_scores", "score_examples"]

CALIBRATION_BINS = 15
"""Bins of equal width of the calibration error."""


class Scores(NamedTuple):
    """Means over some examples: loss, accuracy (a fraction), Brier score, calibration error."""

    loss: float
    accuracy: float
    brier: float
    ece: float


def score_examples(logits: Tensor, labels: Tensor) -> Tensor:
    """Score every example alone.

    Args:
        logits: Floating-point, shape (n, classes).
        labels: Classes, shape (n,).

    Returns:
        Loss, correctness, Brier score and confidence of every example: float64, shape (4, n).
    """
    log_probabilities = logits.double().log_softmax(1)
    losses = F.nll_loss(log_probabilities, labels, reduction="none")
    is_finite = losses.isfinite()
    is_correct = (logits.argmax(1) == labels) & is_finite
    probabilities = log_probabilities.exp()
    confidences = probabilities.amax(1)
    rows = torch.arange(len(labels), device=labels.device)
    probabilities[rows, labels] -= 1
    briers = probabilities.square().sum(1)
    return torch.stack([losses, is_correct.double(), briers, confidences]).where(
        # Loss and correctness are defined; the others have no meaning without a loss.
        is_finite | torch.tensor([[True], [True], [False], [False]], device=labels.device),
        torch.nan,
    )


def mean_scores(examples: Tensor) -> list[Scores]:
    """Average the scores of sets of examples, of all sets in one transfer from the device.

    Args:
        examples: Results of `score_examples` by set, shape (4, sets, n).

    Returns:
        One element per set.
    """
    _, is_correct, _, confidences = examples
    means = examples[:3].mean(2)
    gaps = is_correct - confidences
    limits = torch.arange(1, CALIBRATION_BINS, dtype=torch.float64, device=examples.device)
    bins = torch.bucketize(confidences, limits / CALIBRATION_BINS)
    # A sum per bin instead of `scatter_add`, whose order of addition varies on an accelerator.
    by_bin = torch.stack([gaps.where(bins == m, 0).sum(1) for m in range(CALIBRATION_BINS)])
    errors = by_bin.abs().sum(0) / examples.shape[2]
    return [Scores(*values) for values in torch.cat([means, errors[None]]).T.tolist()]
