"""The gradient noise scale: about the batch size beyond which larger batches bring little.

    B = tr(Sigma) / |G|^2

with G the gradient of the loss and Sigma the covariance of the gradients of single examples. From
the gradients g_1, ..., g_k of k batches of b examples each, with mean g,

    tr(Sigma)  ~  b / (k - 1) sum_i |g_i - g|^2          |G|^2  ~  |g|^2 - tr(Sigma) / (k b)

Both are unbiased; their ratio is not, and varies much where |G|^2 is small. It is undefined where
the estimate of |G|^2 is not positive.

Source: McCandlish, Kaplan, Amodei et al. 2018, "An empirical model of large-batch training" (arXiv
1812.06162), eq. 2.8 and appendix A.1. Departure: the differences of all batches from their mean
instead of one small and one large batch, which gives the same expectation and less variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sasam.curvature._perturbed_loss import Batch, LossFunction, PerturbedLoss, checked_batches

__all__ = ["GradientNoise", "estimate_gradient_noise"]


@dataclass(frozen=True, slots=True)
class GradientNoise:
    """Gradient noise; NaN where a gradient is not finite.

    Attributes:
        scale: tr(Sigma) / |G|^2, in examples; NaN where the estimate of |G|^2 is not positive.
        trace: Unbiased estimate of tr(Sigma).
        squared_norm: Unbiased estimate of |G|^2, which can be negative.
        gradient_evaluations: Gradients of one batch each.
    """

    scale: float
    trace: float
    squared_norm: float
    gradient_evaluations: int


def estimate_gradient_noise(
    model: nn.Module, loss_fn: LossFunction, batches: Iterable[Batch]
) -> GradientNoise:
    """Estimate the gradient noise scale.

    Args:
        model: The network; it stays as it is (its copy runs in eval mode).
        loss_fn: Maps outputs and targets to the mean loss of their examples.
        batches: At least two pairs (inputs, targets) of equally many examples.

    Raises:
        ValueError: There are fewer than two batches, or they differ in size.

    Example:
        >>> import torch
        >>> from sasam.curvature import estimate_gradient_noise
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 1.0)
        >>> inputs = torch.tensor([[1.0], [2.0], [3.0]])  # gradients 2, 8, 18 of (x w)^2
        >>> batches = [(x[None], torch.zeros(1, 1)) for x in inputs]
        >>> found = estimate_gradient_noise(model, torch.nn.functional.mse_loss, batches)
        >>> round(found.trace, 3), round(found.scale, 3)
        (65.333, 1.0)
    """
    loss = PerturbedLoss(model, loss_fn)
    found = checked_batches(batches, loss)
    sizes = sorted({len(targets) for _, targets in found})
    if len(found) < 2 or len(sizes) > 1:
        raise ValueError(
            "batches must be at least two of one size, "
            f"got {len(found)} of {', '.join(map(str, sizes))} examples"
        )
    (size,), count = sizes, len(found)
    # Welford's recurrence, so that no gradient but the mean is kept.
    mean: list[Tensor] = []
    scatter = 0.0
    for number, batch in enumerate(found, start=1):
        gradient = [part.double() for part in loss.gradient(batch)[1]]
        if not mean:
            mean = [torch.zeros_like(part) for part in gradient]
        before = [g - m for g, m in zip(gradient, mean, strict=True)]
        mean = [m + d / number for m, d in zip(mean, before, strict=True)]
        after = zip(before, gradient, mean, strict=True)
        scatter += sum(float((d * (g - m)).sum()) for d, g, m in after)
    trace = size * scatter / (count - 1)
    squared_norm = sum(float(m.square().sum()) for m in mean) - trace / (count * size)
    scale = trace / squared_norm if squared_norm > 0 else math.nan
    return GradientNoise(scale, trace, squared_norm, count)
