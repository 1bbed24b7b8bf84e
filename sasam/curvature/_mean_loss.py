"""The denominators of mean losses, which weight the chunks of a batch, and their check.

A mean loss over a set of examples is L(S) = Σₙ∈S ℓₙ / D(S) with D(S) = Σₙ∈S dₙ. So the loss over
the union of two sets, and its gradient with respect to the outputs of the first, are

    L(S ∪ T) = (D(S) L(S) + D(T) L(T)) / D(S ∪ T)        ∂L(S ∪ T) = D(S) / D(S ∪ T) ∂L(S)

The check compares both for S a single example and T each chunk. That needs the outputs alone, and
the gradient shows a wrong denominator even where all losses are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LossFunction = Callable[[Tensor, Tensor], Tensor]
Denominator = Callable[[Tensor], "Tensor | float"]


def weigh(targets: Tensor, denominator: Denominator | None) -> float:
    """Return the number that the mean loss of these targets is divided by.

    Raises:
        ValueError: `denominator` returned another thing than a finite number of at least 0.
    """
    if denominator is None:
        return float(len(targets))
    weight = denominator(targets)
    try:
        number = float(weight)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"denominator must return a number, got {weight!r}") from error
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"denominator must return a finite number of at least 0, got {number}")
    return number


class DenominatorCheck:
    """Checks on one chunk after another that their denominators are those of the loss.

    Chunks whose outputs are not a finite tensor with one row per example, or whose examples have
    another shape than the first ones, are not checked.
    """

    def __init__(self, loss_fn: LossFunction, denominator: Denominator | None) -> None:
        self._loss_fn = loss_fn
        self._denominator = denominator
        self._reference: tuple[Tensor, Tensor] | None = None

    def check(self, outputs: object, targets: Tensor, loss: float) -> None:
        """Compare the loss of a chunk and one more example with that of its parts.

        Raises:
            ValueError: The loss is not a sum over examples divided by the denominator.
        """
        if not isinstance(outputs, Tensor) or outputs.shape[:1] != targets.shape[:1]:
            return
        outputs = outputs.detach()
        if not outputs.isfinite().all():
            return
        if self._reference is None:
            self._reference = self._first_weighted(outputs, targets)
        one, target = self._reference
        if one.shape[1:] != outputs.shape[1:] or target.shape[1:] != targets.shape[1:]:
            return
        alone, gradient = self._evaluate(one, target, outputs[:0], targets[:0])
        joint, joint_gradient = self._evaluate(one, target, outputs, targets)
        if not math.isfinite(joint):
            return
        own, weight = (weigh(t, self._denominator) for t in (target, targets))
        share = own / (own + weight)
        expected = share * alone + (1 - share) * loss
        finfo = torch.finfo(outputs.dtype)
        tolerance = math.sqrt(finfo.eps)
        difference = float((joint_gradient - share * gradient).abs().max())
        allowed = tolerance * share * float(gradient.abs().max()) + finfo.tiny
        # A part that is all ignored has the loss NaN, which no comparison accepts.
        if not (
            math.isclose(joint, expected, rel_tol=tolerance, abs_tol=finfo.tiny)
            and difference <= allowed
        ):
            divisor = "their number" if self._denominator is None else "denominator(targets)"
            raise ValueError(
                "loss_fn must return the mean over examples (reduction='mean'): a sum divided by "
                f"{divisor}. {1 + len(targets)} examples gave {joint}, their parts average "
                f"{expected}. If the loss divides by another number, as a cross-entropy with class "
                "weights or ignored targets does, pass a function that returns this number: "
                "denominator=lambda targets: weight[targets].sum(), or (targets != -100).sum()"
            )

    def _first_weighted(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first example that does not have the denominator 0."""
        pairs = zip(torch.split(outputs, 1), torch.split(targets, 1), strict=True)
        return next(pair for pair in pairs if weigh(pair[1], self._denominator) > 0)

    @torch.enable_grad()
    def _evaluate(
        self, one: Tensor, target: Tensor, outputs: Tensor, targets: Tensor
    ) -> tuple[float, Tensor]:
        """Return the loss of one example and others, and its gradient for the one's output."""
        one = one.clone().requires_grad_()
        loss = self._loss_fn(torch.cat([one, outputs]), torch.cat([target, targets]))
        (gradient,) = torch.autograd.grad(loss, one, allow_unused=True, materialize_grads=True)
        return float(loss.detach()), gradient
