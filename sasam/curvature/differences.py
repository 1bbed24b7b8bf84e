"""The Hessian of a network without a second derivative, from central differences of gradients.

    H v ≈ |v| (g(θ + h u) − g(θ − h u)) / 2h,    u = v/|v|,    h = √ε (1 + |θ|)

Some operators can be differentiated once only: in torch hardsigmoid, fused attention, functions
marked `once_differentiable`. Gradients are computed in float64 whatever the type of the weights.

The truncation error is h² |∂³L| / 6, the error of rounding about ε |g| / h. On a smooth network
h ~ ε^(1/3) would balance them; the shorter √ε (usual for forward differences: Nocedal & Wright,
"Numerical Optimization", 2nd ed., section 8.1) costs digits that float64 has to spare. It is taken
because of kinks (ReLU, hardsigmoid): the exact Hessian takes one side of each, while a difference
adds the jump of every activation that changes sides between the two points, fewer the nearer.

What to expect, as the tests check: relative errors of products below 1e-6 on smooth networks and
below 1e-3 on small ones with kinks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sasam.curvature._batches import check_readable_again, checked_batch
from sasam.curvature._model_copy import copy_model, slices_by_module

__all__ = ["GradientDifferenceOperator"]

_EPSILON = torch.finfo(torch.float64).eps


class GradientDifferenceOperator:
    """The Hessian of the mean loss by differences of gradients; a product costs two gradients.

    It works on a float64 copy of the model in eval mode, as `HessianOperator` does on a copy of the
    same type, and needs one derivative only. A non-finite loss is no error: products are then NaN.

    Args:
        model: The network. It must compute in the type of its weights.
        loss_fn: Maps outputs and targets to the mean loss of their examples, a scalar.
        batches: Pairs (inputs, targets) of tensors with the examples along the first axis, read
            again for every product; batches of different sizes count by their sizes.
        chunk_size: Examples differentiated at once, at least 1.

    Raises:
        ValueError: `chunk_size` is below 1; there is no batch, an empty one, or they can be read
            only once; the model cannot be copied, keeps a tensor that it computed from its weights
            once, or has no trainable weights, or on several devices; the loss is not a scalar.
        RuntimeError: The network has no first derivative, does not run in float64, or its loss
            differs between two passes over the same batches.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        batches: Iterable[tuple[Tensor, Tensor]],
        *,
        chunk_size: int = 64,
    ) -> None:
        if chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
        check_readable_again(batches)
        self._model, derived = copy_model(model)
        if derived:
            raise ValueError(
                f"the model keeps {sorted(derived)[0]!r}, a tensor that it computed from its "
                "weights once and that differences of gradients cannot follow: compute it in "
                "forward, or clear it before"
            )
        named = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        if not named:
            raise ValueError("the model has no trainable weights: none has requires_grad=True")
        kinds = sorted({f"{p.dtype} on {p.device}" for p in named.values()})
        if len(kinds) > 1:
            raise ValueError(
                f"the trainable weights must share one type and device, got {', '.join(kinds)}"
            )
        self._dtype = next(iter(named.values())).dtype
        self._model.double()
        self._parameters = list(named.values())
        self._layers = slices_by_module(named)
        self._loss_fn = loss_fn
        self._batches = batches
        self._chunk_size = chunk_size
        self._weights = _as_vector(self._parameters)
        self._step = math.sqrt(_EPSILON) * (1.0 + float(torch.linalg.vector_norm(self._weights)))
        self._read()

    def on(self, batches: Iterable[tuple[Tensor, Tensor]]) -> GradientDifferenceOperator:
        """Return the operator of the same weights and loss on other batches.

        Args:
            batches: As on construction.

        Raises:
            ValueError: The batches are refused, as on construction.
            RuntimeError: The loss differs between two passes over them.
        """
        check_readable_again(batches)
        other = copy.copy(self)
        other._batches = batches
        other._read()
        return other

    @property
    def size(self) -> int:
        """The number of trainable weights."""
        return self._weights.numel()

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (size, size) of the Hessian."""
        return self.size, self.size

    @property
    def dtype(self) -> torch.dtype:
        """The type of the caller's weights and so of the products."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights and so of the products."""
        return self._weights.device

    @property
    def layers(self) -> Mapping[str, slice]:
        """The range of each module's own weights in a vector, by the module's name, in order."""
        return MappingProxyType(self._layers)

    @property
    def num_examples(self) -> int:
        """The number N of examples in the mean."""
        return self._num_examples

    @property
    def loss(self) -> float:
        """The mean loss L."""
        return self._loss

    def matvec(self, vector: Tensor, /) -> Tensor:
        """Return the difference quotient in place of H v.

        Args:
            vector: Shape (size,), of the operator's type and device.

        Returns:
            Shape (size,), without a graph; 0 for the vector 0.

        Raises:
            ValueError: The shape is another one.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"vector must have shape ({self.size},), got {tuple(vector.shape)}")
        direction = vector.detach().double()
        length = torch.linalg.vector_norm(direction)
        if length == 0:
            return torch.zeros_like(vector)
        offset = direction * (self._step / length)
        try:
            difference = self._gradient(self._weights + offset)
            difference -= self._gradient(self._weights - offset)
        finally:
            self._move_to(self._weights)
        product: Tensor = difference * (length / (2 * self._step))
        return product.to(self._dtype)

    def __matmul__(self, other: Tensor) -> Tensor:
        """Return the product with a vector, or with every column of a matrix."""
        if other.ndim == 1:
            return self.matvec(other)
        return torch.stack([self.matvec(column) for column in other.unbind(1)], dim=1)

    def _read(self) -> None:
        """Read the batches for the first time."""
        self._num_examples = sum(len(inputs) for inputs, _ in self._chunks())
        if self._num_examples == 0:
            raise ValueError("batches must hold at least one batch, got none")
        self._loss, again = self._mean_loss(), self._mean_loss()
        if not math.isclose(self._loss, again, rel_tol=math.sqrt(_EPSILON)) and math.isfinite(
            self._loss - again
        ):
            raise RuntimeError(
                "the loss differs between two passes over the same batches, so it has no Hessian: "
                "batches must be neither shuffled nor augmented, and the model must not draw "
                "random numbers in eval mode"
            )

    def _move_to(self, weights: Tensor) -> None:
        parts = torch.split(weights, [p.numel() for p in self._parameters])
        with torch.no_grad():
            for parameter, part in zip(self._parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))

    def _gradient(self, weights: Tensor) -> Tensor:
        """Return the gradient of the mean loss at these weights, float64."""
        self._move_to(weights)
        self._model.zero_grad()
        for inputs, targets in self._chunks():
            with torch.enable_grad():
                loss = self._chunk_loss(inputs, targets) * (len(inputs) / self._num_examples)
            # Not autograd.grad, which reentrant checkpointing refuses.
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        return _as_vector(parts)

    @torch.no_grad()
    def _mean_loss(self) -> float:
        losses = [self._chunk_loss(x, y) * len(x) for x, y in self._chunks()]
        return float(torch.stack(losses).sum()) / self._num_examples

    def _chunk_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            loss = self._loss_fn(self._model(inputs), targets)
        if not isinstance(loss, Tensor) or loss.ndim > 0:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss_fn must return a scalar tensor, got {got}")
        return loss

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches cut to chunks, on the operator's device, floats in float64."""
        for inputs, targets in map(checked_batch, self._batches):
            for start in range(0, len(inputs), self._chunk_size):
                part = slice(start, start + self._chunk_size)
                yield self._widened(inputs[part]), self._widened(targets[part])

    def _widened(self, tensor: Tensor) -> Tensor:
        tensor = tensor.to(self.device)
        return tensor.double() if tensor.is_floating_point() else tensor


def _as_vector(tensors: Sequence[Tensor]) -> Tensor:
    """Return a copy in one vector; `parameters_to_vector` refuses the channels-last format."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
