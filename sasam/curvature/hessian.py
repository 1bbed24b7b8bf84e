"""The Hessian of a network's mean loss, as an operator that is never formed.

    L(θ) = (1/N) Σₙ ℓ(f(xₙ; θ), yₙ)        H v = ∂/∂θ ⟨∂L/∂θ, v⟩

A product differentiates the graph of a gradient once more (reverse over reverse), chunk by chunk
over the examples. Building that graph costs one gradient, differentiating it about two. So the
graphs of as many chunks as a fixed number of bytes holds are kept from one product to the next;
the others are built anew, once for all columns of a block.

`docs/benchmarks-curvature.md` has the measurements behind these choices: forward over reverse
(`torch.func.jvp` of `grad`, which curvlinops uses), probes batched by `vmap` and the channels-last
format were slower.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import normalize

from sasam.curvature._graphs import GradientGraph
from sasam.curvature._lanczos import Lanczos
from sasam.curvature.operators import NonFiniteProductError, Probe

__all__ = ["HessianOperator"]

# A chunk's graph of this size stays near the caches of a CPU and still fills an accelerator.
_CHUNK_BYTES_CPU = 64 * 2**20
_CHUNK_BYTES_ACCELERATOR = 2**30
# Lanczos steps on the first chunk in search of guesses.
_GUESS_STEPS = 5


class HessianOperator:
    """The Hessian of the mean loss over all batches with respect to the trainable weights.

    The operator works on a copy of the model, taken when it is made and put in eval mode: the
    caller's weights, gradients, buffers and modes stay as they are, and later training does not
    change the operator. The copy runs outside autocast and with the math kernel of attention (the
    others have no second derivative). A non-finite loss is no error: products are then NaN, and so
    are the estimates made from them.

    Args:
        model: The network.
        loss_fn: Maps outputs and targets to the mean loss of their examples, a scalar.
        batches: Pairs (inputs, targets) of tensors with the examples along the first axis; batches
            of different sizes count by their sizes. It is read again for every product and must
            give the same pairs in the same order: a list, or a loader that neither shuffles nor
            augments.
        chunk_size: Examples differentiated at once, at least 1; by default as many as a graph of
            64 MiB holds (1 GiB on an accelerator). It does not change the products.
        cache_bytes: The most memory, in bytes, for graphs kept between products; 0 keeps none.

    Raises:
        ValueError: There is no batch, or an empty one, or they can be read only once; the loss is
            not a scalar or not a mean over examples; the model has no trainable weights, or its
            weights differ in type or device.
        RuntimeError: The loss differs between two passes over the same batches (random masks,
            augmentation, shuffling), or does not depend on the weights.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        batches: Iterable[tuple[Tensor, Tensor]],
        *,
        chunk_size: int | None = None,
        cache_bytes: int = 2**30,
    ) -> None:
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be None or at least 1, got {chunk_size}")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must be at least 0, got {cache_bytes}")
        if iter(batches) is batches:
            raise ValueError(
                "batches must be readable again for every product (a list or a loader), "
                f"got a {type(batches).__name__} that can be read only once"
            )
        # A compiled module has no second derivative; the module inside it does.
        self._model = copy.deepcopy(getattr(model, "_orig_mod", model)).eval()
        named = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        self._parameters = list(named.values())
        self._check_parameters()
        self._sizes = [p.numel() for p in self._parameters]
        self._layers = _slices_by_module(named)
        self._loss_fn = loss_fn
        self._batches = batches
        bytes_per_chunk, bytes_per_example = self._graph_bytes()
        chunk_bytes = _CHUNK_BYTES_CPU if self.device.type == "cpu" else _CHUNK_BYTES_ACCELERATOR
        self._chunk_size = chunk_size or max(1, chunk_bytes // bytes_per_example)
        self._cache: list[GradientGraph] = []
        sizes, losses = [], []
        for inputs, targets in self._chunks():
            cache_bytes -= bytes_per_chunk + bytes_per_example * len(inputs)
            sizes.append(len(inputs))
            losses.append(self._first_loss(inputs, targets, keep=cache_bytes >= 0))
        self._num_examples, self._num_chunks = sum(sizes), len(sizes)
        self._loss = float(np.average(losses, weights=sizes))
        self._check_first_chunk(losses[0])

    @property
    def size(self) -> int:
        """The number of trainable weights."""
        return sum(self._sizes)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (size, size) of the Hessian."""
        return self.size, self.size

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights and so of the products."""
        return self._parameters[0].dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights and so of the products."""
        return self._parameters[0].device

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
        """Return H v.

        Args:
            vector: Shape (size,), of the operator's type and device.

        Returns:
            Shape (size,), without a graph.

        Raises:
            ValueError: The shape is another one.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"vector must have shape ({self.size},), got {tuple(vector.shape)}")
        return self.matmat(vector[:, None])[:, 0]

    def matmat(self, vectors: Tensor, /) -> Tensor:
        """Return H V, cheaper a column than `matvec` where graphs are not kept.

        Args:
            vectors: Shape (size, k), of the operator's type and device; best with columns that are
                contiguous in memory.

        Returns:
            Shape (size, k) with columns that are contiguous in memory, without a graph.

        Raises:
            ValueError: The shape is another one.
        """
        if vectors.ndim != 2 or len(vectors) != self.size:
            raise ValueError(
                f"vectors must have shape ({self.size}, k), got {tuple(vectors.shape)}"
            )
        return self._multiply(self._graphs(), vectors)

    def extremal_guesses(self) -> Tensor:
        """Return Ritz vectors of both ends of the Hessian of the first chunk alone.

        A few Lanczos steps from the chunk's gradient, which lies mostly among the eigenvectors of
        the largest eigenvalues (Gur-Ari et al., "Gradient descent happens in a tiny subspace",
        2018). They cost little beside a product and save several.

        Returns:
            Unit columns, shape (size, 2); NaN where the weights have diverged.
        """
        graph = next(self._graphs())
        probe = Probe(_ChunkHessian(self, graph), seed=0)
        gradient = normalize(graph.gradient.to(probe.dtype), dim=0)[:, None]
        krylov = Lanczos(probe, min(_GUESS_STEPS, self.size), gradient)
        try:
            while not (krylov.is_full or krylov.residual_norm == 0):
                krylov.expand()
        except NonFiniteProductError:
            return torch.full_like(gradient, math.nan)
        _, coordinates = krylov.ritz()
        return krylov.combine(coordinates[:, [0, -1]]).T

    def __matmul__(self, other: Tensor) -> Tensor:
        """Return `matvec` or `matmat`, by the number of axes."""
        return self.matvec(other) if other.ndim == 1 else self.matmat(other)

    def _multiply(self, graphs: Iterable[GradientGraph], vectors: Tensor) -> Tensor:
        """Return the share of the chunks with these graphs in H V, columns contiguous."""
        rows = vectors.detach().T.contiguous()
        products = torch.zeros_like(rows)
        pairs = [(self._split(v), self._split(hv)) for v, hv in zip(rows, products, strict=True)]
        for graph in graphs:
            graph.accumulate_products(pairs, graph.num_examples / self._num_examples)
            del graph  # before the next one is built
        return products.T

    def _split(self, vector: Tensor) -> list[Tensor]:
        """Return views of a vector in the shapes of the weights."""
        parts = torch.split(vector, self._sizes)
        return [part.view_as(p) for part, p in zip(parts, self._parameters, strict=True)]

    def _chunks(self, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches cut to chunks, on the operator's device, without the first `skip`."""
        pairs = (
            pair
            for inputs, targets in map(_checked_batch, self._batches)
            for pair in zip(
                torch.split(inputs, self._chunk_size),
                torch.split(targets, self._chunk_size),
                strict=True,
            )
        )
        for inputs, targets in islice(pairs, skip, None):
            yield inputs.to(self.device), targets.to(self.device)

    def _chunk_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a chunk."""
        with torch.autocast(self.device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            return self._loss_fn(self._model(inputs), targets)

    def _gradient_graph(self, inputs: Tensor, targets: Tensor) -> GradientGraph:
        """Return the gradient of a chunk's loss with its graph."""
        with torch.enable_grad():
            loss = self._chunk_loss(inputs, targets)
            if not loss.requires_grad:
                raise RuntimeError("the loss does not depend on the trainable weights")
            return GradientGraph(loss, len(inputs), self._parameters)

    def _graphs(self) -> Iterator[GradientGraph]:
        """Yield the graph of every chunk, those that are kept first."""
        yield from self._cache
        if len(self._cache) < self._num_chunks:
            for inputs, targets in self._chunks(skip=len(self._cache)):
                yield self._gradient_graph(inputs, targets)

    def _check_parameters(self) -> None:
        """Refuse a model without trainable weights, or with weights of several kinds."""
        if not self._parameters:
            raise ValueError("the model has no trainable weights: none has requires_grad=True")
        kinds = sorted({f"{p.dtype} on {p.device}" for p in self._parameters})
        if len(kinds) > 1:
            raise ValueError(
                f"the trainable weights must share one type and device, got {', '.join(kinds)}"
            )

    def _graph_bytes(self) -> tuple[int, int]:
        """Measure what the graph of a gradient keeps whatever its size, and by the example."""
        self._chunk_size = 2
        first = next(self._chunks(), None)
        if first is None:
            raise ValueError("batches must hold at least one batch, got none")
        with torch.no_grad():
            loss = self._chunk_loss(*first)
        if not isinstance(loss, Tensor) or loss.ndim > 0:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss_fn must return a scalar tensor, got {got}")
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.nbytes
            return tensor.detach()

        totals = []
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            for size in range(1, len(first[0]) + 1):
                self._gradient_graph(first[0][:size], first[1][:size])
                totals.append(sum(kept.values()))
                kept.clear()
        per_example = max(1, totals[-1] - totals[0] if len(totals) > 1 else totals[0])
        return max(0, totals[0] - per_example), per_example

    def _first_loss(self, inputs: Tensor, targets: Tensor, *, keep: bool) -> float:
        """Return the loss of a chunk that is read for the first time; keep its graph or not."""
        if keep:
            self._cache.append(self._gradient_graph(inputs, targets))
            return self._cache[-1].loss
        with torch.no_grad():
            return float(self._chunk_loss(inputs, targets))

    @torch.no_grad()
    def _check_first_chunk(self, loss: float) -> None:
        """Read the first chunk again; refuse a loss that is another one, or not a mean."""
        tolerance = math.sqrt(torch.finfo(self.dtype).eps)
        for inputs, targets in islice(self._chunks(), 1):
            again = float(self._chunk_loss(inputs, targets))
            if np.isclose(again, loss, rtol=tolerance, atol=0.0, equal_nan=True):
                self._check_mean(inputs, targets, loss, tolerance)
                return
        raise RuntimeError(
            "the loss differs between two passes over the same batches, so it has no Hessian: "
            "batches must be neither shuffled nor augmented, and the model must not draw random "
            "numbers in eval mode"
        )

    def _check_mean(self, inputs: Tensor, targets: Tensor, loss: float, tolerance: float) -> None:
        """Refuse a loss of the first chunk that is not the mean of its parts."""
        size = len(inputs)
        if size == 1:
            return
        first = float(self._chunk_loss(inputs[:1], targets[:1]))
        rest = float(self._chunk_loss(inputs[1:], targets[1:]))
        mean = (first + (size - 1) * rest) / size
        if math.isfinite(mean) and not math.isclose(loss, mean, rel_tol=tolerance):
            raise ValueError(
                f"loss_fn must return the mean over examples (reduction='mean'), and no layer may "
                f"mix examples: {size} examples gave {loss}, their parts average {mean}"
            )


class _ChunkHessian:
    """The share of one chunk in the Hessian of an operator."""

    def __init__(self, whole: HessianOperator, graph: GradientGraph) -> None:
        self.size, self.dtype, self.device = whole.size, whole.dtype, whole.device
        self._whole = whole
        self._graph = graph

    def matvec(self, vector: Tensor, /) -> Tensor:
        """Return its product with a vector."""
        return self._whole._multiply([self._graph], vector[:, None])[:, 0]


def _checked_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return a batch that is a pair of tensors with the same number of examples, at least 1."""
    try:
        inputs, targets = batch
        sizes = len(inputs), len(targets)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a batch must be a pair (inputs, targets) of tensors, got a {type(batch).__name__}"
        ) from error
    if sizes[0] != sizes[1] or sizes[0] == 0:
        raise ValueError(
            "a batch must hold as many targets as inputs, at least 1, "
            f"got {sizes[0]} inputs and {sizes[1]} targets"
        )
    return inputs, targets


def _slices_by_module(parameters: Mapping[str, Tensor]) -> dict[str, slice]:
    """Return the range of each module's own weights; a module's weights come one after another."""
    slices: dict[str, slice] = {}
    stop = 0
    for name, parameter in parameters.items():
        start, stop = stop, stop + parameter.numel()
        module = name.rpartition(".")[0]
        slices[module] = slice(slices[module].start if module in slices else start, stop)
    return slices
