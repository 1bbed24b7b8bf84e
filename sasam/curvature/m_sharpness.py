"""Adaptive m-sharpness: how much the loss of m examples rises near the weights.

    worst case     mean over batches of  max_{|delta_i| <= rho |w_i|} L(w + delta) - L(w)
    average case   mean over batches of  E_{delta_i ~ N(0, rho^2 w_i^2)} L(w + delta) - L(w)

with L the mean loss of a batch of m examples. Perturbations scale with |w|, so that both are
invariant under rescalings that leave the network's function as it is. The maximum is approached by
20 steps of auto-PGD (sign steps with momentum 0.75, halved at checkpoints without progress) from a
random start in the box, so the worst case is a lower bound of the true one.

Source: Andriushchenko et al. 2023, "A modern look at the relationship between sharpness and
generalization" (arXiv 2302.07011) and tml-epfl/sharpness-vs-generalization; auto-PGD from Croce &
Hein 2020, Algorithm 1. That work normalises logits, which `loss_fn` can do; it finds that sharpness
tracks the learning rate rather than generalisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sasam.curvature._perturbed_loss import Batch, LossFunction, PerturbedLoss, checked_batches

__all__ = ["Sharpness", "average_case_sharpness", "worst_case_sharpness"]

_MOMENTUM = 0.75  # alpha of Algorithm 1
_PROGRESS = 0.75  # rho of Algorithm 1: share of steps that must raise the loss


@dataclass(frozen=True, slots=True)
class Sharpness:
    """An m-sharpness.

    Attributes:
        value: The mean rise of the loss over batches; NaN if a loss is not finite.
        gradient_evaluations: Gradients of one batch each.
        forward_passes: Evaluations of the loss of one batch each, those of gradients included.
    """

    value: float
    gradient_evaluations: int
    forward_passes: int


def worst_case_sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Batch],
    *,
    rho: float = 0.002,
    steps: int = 20,
    seed: int = 0,
) -> Sharpness:
    """Estimate the adaptive worst-case m-sharpness in the maximum norm.

    Args:
        model: The network; it stays as it is (its copy runs in eval mode).
        loss_fn: Maps outputs and targets to the mean loss of their examples.
        batches: Pairs (inputs, targets) of m examples each.
        rho: Radius relative to each weight, > 0.
        steps: Steps of auto-PGD per batch, at least 1; each costs a gradient, and one more where it
            halves its size.
        seed: Seed of the random starts.

    Raises:
        ValueError: A number is out of its range, or a batch is empty.

    Example:
        >>> import torch
        >>> from sasam.curvature import worst_case_sharpness
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 1.0)
        >>> batch = torch.tensor([[2.0]]), torch.tensor([[0.0]])  # L(w) = (2 w)^2
        >>> found = worst_case_sharpness(model, torch.nn.functional.mse_loss, [batch], rho=0.5)
        >>> round(found.value, 3)  # 4 * 1.5^2 - 4
        5.0
    """
    _check(rho, "steps", steps)
    loss = PerturbedLoss(model, loss_fn)
    generator = torch.Generator(loss.device).manual_seed(seed)
    limits = [rho * weight.abs() for weight in loss.weights]
    found = checked_batches(batches, loss)
    rises = [_climb(loss, batch, limits, steps, generator) for batch in found]
    return Sharpness(sum(rises) / len(rises), loss.gradient_evaluations, loss.forward_passes)


def average_case_sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Batch],
    *,
    rho: float = 0.1,
    samples: int = 20,
    seed: int = 0,
) -> Sharpness:
    """Estimate the adaptive average-case m-sharpness by random perturbations.

    Args:
        model: The network; it stays as it is (its copy runs in eval mode).
        loss_fn: Maps outputs and targets to the mean loss of their examples.
        batches: Pairs (inputs, targets) of m examples each.
        rho: Standard deviation relative to each weight, > 0.
        samples: Perturbations per batch, at least 1; each costs a forward pass.
        seed: Seed of the perturbations.

    Raises:
        ValueError: A number is out of its range, or a batch is empty.

    Example:
        >>> import torch
        >>> from sasam.curvature import average_case_sharpness
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 1.0)
        >>> batch = torch.tensor([[2.0]]), torch.tensor([[0.0]])  # L(w) = (2 w)^2
        >>> found = average_case_sharpness(
        ...     model, torch.nn.functional.mse_loss, [batch], rho=0.5, samples=2000
        ... )
        >>> 0.9 < found.value < 1.1  # 4 * 0.5^2
        True
    """
    _check(rho, "samples", samples)
    loss = PerturbedLoss(model, loss_fn)
    generator = torch.Generator(loss.device).manual_seed(seed)
    rises = []
    for batch in checked_batches(batches, loss):
        start = loss.loss(batch)
        for _ in range(samples):
            noise = [
                rho
                * weight.abs()
                * torch.randn(
                    weight.shape, generator=generator, device=weight.device, dtype=weight.dtype
                )
                for weight in loss.weights
            ]
            rises.append(loss.loss(batch, noise) - start)
    return Sharpness(sum(rises) / len(rises), 0, loss.forward_passes)


def _climb(
    loss: PerturbedLoss,
    batch: Batch,
    limits: Sequence[Tensor],
    steps: int,
    generator: torch.Generator,
) -> float:
    """The rise of a batch's loss that auto-PGD reaches within the box |delta| <= limits."""
    start = loss.loss(batch)
    delta = [
        limit
        * (
            2 * torch.rand(limit.shape, generator=generator, device=limit.device, dtype=limit.dtype)
            - 1
        )
        for limit in limits
    ]
    previous, best, best_delta = delta, start, [torch.zeros_like(limit) for limit in limits]
    size, size_before, best_before = 2.0, 2.0, start  # in units of the limits
    checkpoints, improvements, last = _checkpoints(steps), 0, 0
    for step in range(steps):
        height, gradient = loss.gradient(batch, delta)
        if not math.isfinite(height):
            return math.nan
        if height > best:
            best, best_delta, improvements = height, delta, improvements + 1
        if step in checkpoints:
            stalled = improvements < _PROGRESS * (step - last)
            if stalled or (size == size_before and best == best_before):
                size_before, size = size, size / 2
                delta = previous = best_delta
                _, gradient = loss.gradient(batch, delta)
            else:
                size_before = size
            best_before, improvements, last = best, 0, step
        target = [
            (d + size * limit * g.sign()).clamp(-limit, limit)
            for d, limit, g in zip(delta, limits, gradient, strict=True)
        ]
        following = [
            (d + _MOMENTUM * (z - d) + (1 - _MOMENTUM) * (d - p)).clamp(-limit, limit)
            for d, z, p, limit in zip(delta, target, previous, limits, strict=True)
        ]
        previous, delta = delta, following
    height = loss.loss(batch, delta)
    return max(best, height) - start if math.isfinite(height) else math.nan


def _checkpoints(steps: int) -> set[int]:
    """Steps at which auto-PGD judges its progress: Croce & Hein 2020, section 3.1."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return {math.ceil(share * steps) for share in shares[1:]}


def _check(rho: float, name: str, count: int) -> None:
    if not 0 < rho < math.inf:
        raise ValueError(f"rho must be a finite number above 0, got {rho}")
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
