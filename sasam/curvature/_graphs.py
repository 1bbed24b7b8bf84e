"""The graph of a gradient, which a Hessian-vector product differentiates once more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_RAISING_NODES = {"torch::autograd::Error", "torch::autograd::NotImplemented"}


class GradientGraph:
    """The gradient of a chunk's loss together with its graph, ready to be differentiated again."""

    def __init__(self, loss: Tensor, weight: float, parameters: Sequence[Tensor]) -> None:
        self.loss = float(loss.detach())
        self.weight = weight
        self._parameters = parameters
        self._gradients = torch.autograd.grad(
            loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        # The gradient of a weight that enters linearly, or not at all, is a constant.
        self._varying = [index for index, g in enumerate(self._gradients) if g.requires_grad]

    @property
    def gradient(self) -> Tensor:
        """The gradient as a vector, without its graph."""
        return torch.cat([gradient.detach().flatten() for gradient in self._gradients])

    def missing_derivatives(self) -> set[str]:
        """Return the names of the nodes that raise instead of being differentiated.

        Such a node need not lie on the way to a weight: then no product raises, and terms are
        missing from all of them (functions marked `once_differentiable`).
        """
        waiting = [gradient.grad_fn for gradient in self._gradients]
        seen = set()
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += [following for following, _ in node.next_functions]
        return {name for node in seen if (name := node.name()) in _RAISING_NODES}

    def accumulate_products(
        self, pairs: list[tuple[list[Tensor], list[Tensor]]], weight: float
    ) -> None:
        """Add the weighted product with each direction to its sum, all in the weights' shapes."""
        if not self._varying:
            return
        for direction, total in pairs:
            products = torch.autograd.grad(
                [self._gradients[index] for index in self._varying],
                self._parameters,
                grad_outputs=[direction[index] for index in self._varying],
                retain_graph=True,
                allow_unused=True,
            )
            for part, product in zip(total, products, strict=True):
                if product is not None:
                    part.add_(product, alpha=weight)

    def quadratic_forms(self, directions: list[list[Tensor]]) -> list[Tensor]:
        """Return v'Hv of each direction, unweighted; it costs as much as the product."""
        forms = []
        for direction in directions:
            product = [torch.zeros_like(part) for part in direction]
            self.accumulate_products([(direction, product)], 1.0)
            forms.append(sum_of_products(direction, product))
        return forms


def sum_of_products(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Return the inner product of two vectors in parts."""
    parts = [torch.dot(a.flatten(), b.flatten()) for a, b in zip(left, right, strict=True)]
    return torch.stack(parts).sum()
