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

    def accumulate_products(self, vectors: Tensor, totals: Tensor, weight: float) -> None:
        """Add the weighted products with vectors, one per row, to the rows of their sums."""
        if not self._varying:
            return
        for vector, total in zip(vectors, totals, strict=True):
            direction = split_by_weight(vector, self._parameters)
            products = torch.autograd.grad(
                [self._gradients[index] for index in self._varying],
                self._parameters,
                grad_outputs=[direction[index] for index in self._varying],
                retain_graph=True,
                allow_unused=True,
            )
            parts = split_by_weight(total, self._parameters)
            for part, product in zip(parts, products, strict=True):
                if product is not None:
                    part.add_(product, alpha=weight)

    def quadratic_forms(self, vectors: Tensor) -> Tensor:
        """Return v'Hv of each row, unweighted; it costs as much as the products."""
        products = torch.zeros_like(vectors)
        self.accumulate_products(vectors, products, 1.0)
        return (vectors * products).sum(1)


def split_by_weight(vectors: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return views of vectors, shape (..., size), in the shapes of the weights."""
    parts = torch.split(vectors, [p.numel() for p in parameters], dim=-1)
    lead = vectors.shape[:-1]
    return [part.view((*lead, *p.shape)) for part, p in zip(parts, parameters, strict=True)]
