"""Critical sharpness: curvature along the update direction from forward passes alone.

    eta_c    = min { eta > 0 : L(theta + eta d) > L(theta) }
    lambda_c = 2 / eta_c

with d the update direction, such as the negative gradient. On a quadratic loss and d = -g it is
g'Hg / g'g, at most the largest eigenvalue, which it follows along training. The search doubles or
halves a first guess until one step does not raise the loss and twice that step does, then bisects.

Source: Kalra et al. 2026, "A scalable measure of loss landscape curvature for analyzing the
training dynamics of LLMs" (arXiv 2601.16979), which takes 5 to 6 forward passes. Departures: the
loss is that of the network in eval mode; with a loss that rises and falls along d, the step found
is one at which it starts to exceed L(theta), not necessarily the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sasam.curvature._perturbed_loss import Batch, LossFunction, PerturbedLoss, checked_batches

__all__ = ["CriticalSharpness", "estimate_critical_sharpness"]

_MAX_DOUBLINGS = 30
_ROUNDING = 16
"""Rounding errors of a mean loss, in units of its last place."""


@dataclass(frozen=True, slots=True)
class CriticalSharpness:
    """The critical sharpness along a direction.

    Attributes:
        value: lambda_c = 2 / eta_c; NaN if there is no eta_c within a factor of 2^30 of the guess:
            the direction is no descent direction beyond rounding, the loss does not rise along it,
            or it is not finite at theta.
        step: eta_c, the middle of the last bracket; NaN likewise.
        forward_passes: Evaluations of the mean loss.
    """

    value: float
    step: float
    forward_passes: int


def estimate_critical_sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Batch],
    direction: Sequence[Tensor],
    *,
    guess: float = 1.0,
    tolerance: float = 0.125,
) -> CriticalSharpness:
    """Find the smallest step along a direction that raises the loss.

    Args:
        model: The network at theta; it stays as it is (its copy runs in eval mode).
        loss_fn: Maps outputs and targets to the mean loss of their examples.
        batches: Pairs (inputs, targets) of tensors.
        direction: d, one tensor per trainable parameter of `model`, in order and shape.
        guess: First step to try, > 0, such as the step size that training takes: the nearer, the
            fewer passes.
        tolerance: Stop when the bracket is this wide relative to its lower end, in (0, 1).

    Returns:
        The critical sharpness; NaN if undefined.

    Raises:
        ValueError: A number is out of its range, a batch is empty, or the direction does not fit.

    Example:
        >>> import torch
        >>> from sasam.curvature import estimate_critical_sharpness
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 1.0)
        >>> batch = torch.tensor([[2.0]]), torch.tensor([[0.0]])  # L(w) = (2 w)^2, H = 8
        >>> negative_gradient = [torch.tensor([[-8.0]])]
        >>> found = estimate_critical_sharpness(
        ...     model, torch.nn.functional.mse_loss, [batch], negative_gradient, tolerance=1e-3
        ... )
        >>> round(found.value, 1)
        8.0
    """
    if not 0 < guess < math.inf:
        raise ValueError(f"guess must be a finite number above 0, got {guess}")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be above 0 and below 1, got {tolerance}")
    loss = PerturbedLoss(model, loss_fn)
    shapes, expected = [p.shape for p in direction], [w.shape for w in loss.weights]
    if shapes != expected:
        raise ValueError(
            f"direction must have the shapes of the trainable weights, {[*map(tuple, expected)]}, "
            f"got {[*map(tuple, shapes)]}"
        )
    found = checked_batches(batches, loss)

    start = loss.mean_loss(found, [torch.zeros_like(part) for part in direction])

    def fall(step: float) -> float:
        return start - loss.mean_loss(found, [step * part for part in direction])

    noise = _ROUNDING * torch.finfo(loss.weights[0].dtype).eps * abs(start)
    bracket = _bracket(fall, guess, noise) if math.isfinite(start) else None
    if bracket is None:
        return CriticalSharpness(math.nan, math.nan, loss.forward_passes // len(found))
    low, high = bracket
    while high - low > tolerance * low:
        middle = (low + high) / 2
        if not low < middle < high:
            break  # neighbours in floating point
        low, high = (middle, high) if fall(middle) >= 0 else (low, middle)  # NaN is a rise
    step = (low + high) / 2
    return CriticalSharpness(2 / step, step, loss.forward_passes // len(found))


def _bracket(
    fall: Callable[[float], float], guess: float, noise: float
) -> tuple[float, float] | None:
    """Steps (s, 2s) of which only the second raises the loss; None if there are none.

    Where the loss falls by no more than rounding at s and at s / 2, the direction is no descent.

    Args:
        fall: Fall of the loss at a step; negative or NaN where it rises.
        guess: First step.
        noise: Largest difference of losses by rounding.
    """
    low, found = guess, fall(guess)
    if found >= 0:
        for _ in range(_MAX_DOUBLINGS):
            following = fall(2 * low)
            if not following >= 0:
                break
            low, found = 2 * low, following
        else:
            return None
    else:
        for _ in range(_MAX_DOUBLINGS):
            low /= 2
            found = fall(low)
            if found >= 0:
                break
        else:
            return None
    return (low, 2 * low) if found > noise or fall(low / 2) > noise else None
