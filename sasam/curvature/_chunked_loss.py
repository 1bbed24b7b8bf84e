"""A mean loss over batches that are read chunk by chunk, and the checks of it.

A Hessian is defined only if the loss is a real scalar that can be differentiated twice, a mean over
examples that no layer mixes, and the same whenever the batches are read.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sasam.curvature._affine_chain import AffineChain, ChainGraph
from sasam.curvature._batches import Chunk, checked_batch
from sasam.curvature._graphs import GradientGraph
from sasam.curvature._mean_loss import Denominator, DenominatorCheck, LossFunction, weigh

__all__ = ["ChunkedLoss", "without_autocast"]


def without_autocast(device: torch.device) -> torch.autocast:
    """Return a context in which the caller's autocast has no effect."""
    return torch.autocast(device.type, enabled=False)


class ChunkedLoss:
    """The mean loss of a model over batches, evaluated one chunk of examples at a time.

    Args:
        model: The network, in eval mode.
        parameters: Its trainable parameters, of one type and device.
        loss_fn: Maps outputs and targets to the mean loss of their examples.
        batches: Pairs (inputs, targets), read again whenever needed.
        denominator: Maps targets to the number that `loss_fn` divides by; None for their number.

    Attributes:
        chunk_size: Examples per chunk.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Sequence[Tensor],
        loss_fn: LossFunction,
        batches: Iterable[tuple[Tensor, Tensor]],
        denominator: Denominator | None,
        chunk_size: int,
    ) -> None:
        self.chunk_size = chunk_size
        self._model = model
        self._parameters = parameters
        self._dtype, self._device = parameters[0].dtype, parameters[0].device
        self._loss_fn = loss_fn
        self._batches = batches
        self._denominator = denominator
        self._chain: AffineChain | None = None

    def on(self, batches: Iterable[tuple[Tensor, Tensor]]) -> ChunkedLoss:
        """Return the same loss over other batches."""
        other = copy.copy(self)
        other._batches = batches
        return other

    def denominator_check(self) -> DenominatorCheck:
        """Return a check that the denominators of chunks are those of the loss."""
        return DenominatorCheck(self._loss_fn, self._denominator)

    def use_matrices(self, chunk: Chunk) -> None:
        """Multiply by the matrices of layers from now on, if the network is a small chain of them.

        Args:
            chunk: Some examples, on which both forms of the network must agree.
        """
        with torch.no_grad(), without_autocast(self._device):
            chain = AffineChain.of(self._model, self._parameters, chunk.inputs.shape[1:])
            if chain is None:
                return
            outputs, _ = self.evaluate(chunk)
            same = chain.evaluate(chunk.inputs)
        if same.shape == outputs.shape and torch.allclose(same, outputs, 1e-3, equal_nan=True):
            self._chain = chain

    def first_weighted(self) -> Chunk:
        """Return the first chunk that does not have the denominator 0.

        Raises:
            ValueError: There is none.
        """
        is_empty = True
        for chunk in self.chunks():
            if chunk.weight > 0:
                return chunk
            is_empty = False
        if is_empty:
            raise ValueError("batches must hold at least one batch, got none")
        raise ValueError("batches must hold a target with a denominator above 0, got none")

    def chunks(self, skip: int = 0) -> Iterator[Chunk]:
        """Yield the batches cut to chunks, without the first `skip` of those that have a weight."""
        pairs = (
            pair
            for inputs, targets in map(checked_batch, self._batches)
            for pair in zip(
                torch.split(inputs, self.chunk_size),
                torch.split(targets, self.chunk_size),
                strict=True,
            )
        )
        for inputs, targets in pairs:
            targets = targets.to(self._device)
            weight = weigh(targets, self._denominator)
            if weight > 0 and skip > 0:
                skip -= 1
            else:
                yield Chunk(inputs.to(self._device), targets, weight)

    def evaluate(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        """Return the outputs and the mean loss of a chunk."""
        with without_autocast(self._device), sdpa_kernel(SDPBackend.MATH):
            outputs = self._model(chunk.inputs)
            return outputs, self._loss_fn(outputs, chunk.targets)

    @torch.no_grad()
    def loss_of(self, chunk: Chunk) -> float:
        """Return the mean loss of a chunk, without a graph."""
        return float(self.evaluate(chunk)[1])

    def gradient_graph(
        self, chunk: Chunk, check: DenominatorCheck | None = None
    ) -> GradientGraph | ChainGraph:
        """Return the gradient of a chunk's loss with its graph."""
        if self._chain is not None and chunk.inputs.shape[1:] == self._chain.shape:
            with torch.no_grad():
                outputs, loss = self.evaluate(chunk)
            if check is not None:
                check.check(outputs, chunk.targets, float(loss))
            with without_autocast(self._device):
                return self._chain.gradient_graph(chunk, float(loss), self._loss_fn)
        with torch.enable_grad(), without_autocast(self._device):
            outputs, loss = self.evaluate(chunk)
            if not loss.requires_grad:
                raise RuntimeError("the loss does not depend on the trainable weights")
            graph = GradientGraph(loss, chunk.weight, self._parameters)
        if check is not None:
            check.check(outputs, chunk.targets, graph.loss)
        return graph

    def check_loss(self, chunk: Chunk, derived: Mapping[str, Tensor]) -> None:
        """Refuse a loss that is no real scalar or cannot be differentiated twice."""
        with torch.enable_grad():
            _, loss = self.evaluate(chunk)
        if not isinstance(loss, Tensor) or loss.ndim > 0:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss_fn must return a scalar tensor, got {got}")
        if loss.is_complex():
            raise ValueError(f"loss_fn must return a real scalar tensor, got {loss.dtype}")
        if not loss.requires_grad:
            raise RuntimeError("the loss does not depend on the trainable weights")
        for name, tensor in derived.items():
            gradient = torch.autograd.grad(loss, tensor, retain_graph=True, allow_unused=True)
            if gradient[0] is not None:
                raise ValueError(
                    f"the loss depends on {name!r}, a tensor that the model computed from its "
                    "weights once: compute it in forward"
                )
        if missing := GradientGraph(loss, chunk.weight, self._parameters).missing_derivatives():
            raise RuntimeError(
                "the network has a function that can be differentiated only once "
                f"({', '.join(sorted(missing))}), so terms of its Hessian would be missing; "
                "GradientDifferenceOperator needs one derivative only"
            )

    def graph_bytes(self, pair: Chunk) -> tuple[int, int]:
        """Measure the bytes that the graph of a gradient keeps: constant, and per example."""
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.nbytes
            return tensor.detach()

        totals = []
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            for size in range(1, len(pair.inputs) + 1):
                self.gradient_graph(self.part(pair, slice(size)))
                totals.append(sum(kept.values()))
                kept.clear()
        per_example = max(1, totals[-1] - totals[0] if len(totals) > 1 else totals[0])
        return max(0, totals[0] - per_example), per_example

    def check_mixing(self, pair: Chunk) -> None:
        """Refuse a model that computes other outputs for two examples than for each of them."""
        parts = [self.part(pair, slice(n, n + 1)) for n in range(len(pair.inputs))]
        mean = sum(p.weight * self.loss_of(p) for p in parts if p.weight > 0) / pair.weight
        loss = self.loss_of(pair)
        if math.isfinite(loss) and not self.is_close(loss, mean):
            raise ValueError(
                "no layer may mix examples, and loss_fn must return their mean: "
                f"{len(parts)} examples gave {loss}, their parts average {mean}"
            )

    def part(self, chunk: Chunk, examples: slice) -> Chunk:
        """Return some examples of a chunk."""
        targets = chunk.targets[examples]
        return Chunk(chunk.inputs[examples], targets, weigh(targets, self._denominator))

    def is_close(self, loss: float, expected: float) -> bool:
        """Whether two losses are equal up to rounding, or both NaN."""
        tolerance = math.sqrt(torch.finfo(self._dtype).eps)
        return bool(np.isclose(loss, expected, rtol=tolerance, atol=0.0, equal_nan=True))
