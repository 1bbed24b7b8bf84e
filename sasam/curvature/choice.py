"""Which of the two Hessian operators a network allows, found by a product on two examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from sasam.curvature.differences import GradientDifferenceOperator
from sasam.curvature.hessian import HessianOperator

__all__ = [
    "HESSIAN_OPERATORS",
    "HessianMethod",
    "choose_hessian_method",
    "choose_hessian_operator",
]

HessianMethod = Literal["exact", "differences"]

HESSIAN_OPERATORS: dict[HessianMethod, type[HessianOperator | GradientDifferenceOperator]] = {
    "exact": HessianOperator,
    "differences": GradientDifferenceOperator,
}
"""The operator of each method; both are made from a model, a loss and batches."""


def choose_hessian_operator(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
) -> HessianOperator | GradientDifferenceOperator:
    """Return the Hessian on the first two examples; its method `on` makes that on others.

    It is exact unless the network can be differentiated only once on its device.

    The choice depends on the network's operators, not on its weights, and not on the memory that
    the whole measurement takes: it is made on the first two examples.

    Args:
        model: The network; it stays as it is.
        loss_fn: Maps outputs and targets to the mean loss of their examples, a scalar.
        inputs: Examples along the first axis, at least one.
        targets: As many targets.

    Raises:
        ValueError: The model, the loss or the examples are refused by both operators.
        RuntimeError: The network has no Hessian by either method; the message has both reasons.
        torch.OutOfMemoryError: Two examples are too many for the device.
    """
    batches = [(inputs[:2], targets[:2])]
    operator: HessianOperator | GradientDifferenceOperator
    try:
        operator = HessianOperator(model, loss_fn, batches)
        _multiply_once(operator)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as exact:  # what torch raises for every missing second derivative
        try:
            operator = GradientDifferenceOperator(model, loss_fn, batches)
            _multiply_once(operator)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as differences:
            raise RuntimeError(
                f"the network has no Hessian: differentiated twice, {exact}; by differences of "
                f"gradients, {differences}"
            ) from differences
    return operator


def choose_hessian_method(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
) -> HessianMethod:
    """Return the method of the operator that `choose_hessian_operator` returns."""
    operator = choose_hessian_operator(model, loss_fn, inputs, targets)
    return next(name for name, kind in HESSIAN_OPERATORS.items() if type(operator) is kind)


def _multiply_once(operator: HessianOperator | GradientDifferenceOperator) -> None:
    operator.matvec(torch.ones(operator.size, dtype=operator.dtype, device=operator.device))
