"""The Hessian of a network's mean loss, as an operator that is never formed.

    L(θ) = Σₙ ℓ(f(xₙ; θ), yₙ) / Σₙ dₙ        H v = ∂/∂θ ⟨∂L/∂θ, v⟩

with dₙ = 1, or the class weight of yₙ, or 0 if yₙ is ignored. A product differentiates the graph of
a gradient once more (reverse over reverse), chunk by chunk over the examples. Building that graph
costs one gradient, differentiating it about two. So the graphs of as many chunks as fit into a
fixed number of bytes are kept from one product to the next; the others are built again, once for
all columns of a block.

A small network in which only affine layers and ReLUs follow each other is multiplied by the
matrices of its layers instead (`_affine_chain`), several columns at once: the same values up to
rounding, in less than a third of the time.

`docs/benchmarks-curvature.md` has the measurements behind these choices: forward over reverse
(`torch.func.jvp` of `grad`, which curvlinops uses), graphs batched by `vmap` and the channels-last
format were slower.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sasam.curvature._affine_chain import ChainGraph
from sasam.curvature._batches import Chunk, check_readable_again
from sasam.curvature._chunked_loss import ChunkedLoss, without_autocast
from sasam.curvature._graphs import GradientGraph
from sasam.curvature._lanczos import Lanczos
from sasam.curvature._mean_loss import Denominator, DenominatorCheck, LossFunction
from sasam.curvature._model_copy import copy_model, slices_by_module, trainable_parameters
from sasam.curvature._threads import limited_threads
from sasam.curvature.operators import NonFiniteProductError, Probe

__all__ = ["HessianOperator"]

# A chunk's graph of this size stays near the caches of a CPU and still fills an accelerator.
_CHUNK_BYTES_CPU = 64 * 2**20
_CHUNK_BYTES_ACCELERATOR = 2**30
# Lanczos steps on the first chunk in search of guesses.
_GUESS_STEPS = 5
_BATCHES_DIFFER = (
    "the loss differs between two passes over the same batches, so it has no Hessian: batches must "
    "be neither shuffled nor augmented, and the model must not draw random numbers in eval mode"
)


class HessianOperator:
    """The Hessian of the mean loss over all batches with respect to the trainable weights.

    The operator works on a copy of the model in eval mode, made on construction: the caller's
    weights, gradients, buffers and modes stay as they are, and later training does not change the
    operator. The copy runs outside autocast and with the math kernel of attention (the others have
    no second derivative). Work on the CPU whose graph is smaller than 8 MiB runs on one thread. A
    non-finite loss raises no error: products are then NaN, and so are the estimates made from them.

    Args:
        model: The network. Its trainable parameters are dense, of type float32 or float64, and
            share type and device; parameters without `requires_grad` are constants.
        loss_fn: Maps outputs and targets to the mean loss of their examples, a real scalar.
        batches: Pairs (inputs, targets) of tensors with the examples along the first axis. They
            are read again for every product and must be the same pairs in the same order: a list,
            or a loader that neither shuffles nor augments.
        chunk_size: Examples differentiated at once, at least 1; by default as many as a graph of
            64 MiB holds (1 GiB on an accelerator). It changes the products by rounding alone.
        cache_bytes: The most memory, in bytes, for graphs kept between products; 0 keeps none.
        denominator: Maps targets to the number that `loss_fn` divides by, at least 0; by default
            their number. A cross-entropy with class weights needs
            `lambda targets: weight[targets].sum()`, one that ignores targets
            `lambda targets: (targets != ignore_index).sum()`. Chunks and batches count by it.

    Raises:
        ValueError: There is no batch, or an empty one, or they can be read only once; the loss is
            not a real scalar, not a sum over examples divided by the denominator, or all targets
            have the denominator 0; the model cannot be copied, or keeps a tensor that it computed
            from its weights once; a trainable parameter is missing or not as described.
        RuntimeError: The loss differs between two passes over the same batches (random masks,
            augmentation, shuffling), or does not depend on the weights; or the network has a
            function that can be differentiated only once (fused kernels, `once_differentiable`),
            whose terms would be missing from the products.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        batches: Iterable[tuple[Tensor, Tensor]],
        *,
        chunk_size: int | None = None,
        cache_bytes: int = 2**30,
        denominator: Denominator | None = None,
    ) -> None:
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be None or at least 1, got {chunk_size}")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must be at least 0, got {cache_bytes}")
        check_readable_again(batches)
        self._model, derived = copy_model(model)
        named = trainable_parameters(self._model)
        self._parameters = list(named.values())
        self._layers = slices_by_module(named)
        self._mean_loss = loss = ChunkedLoss(
            self._model, self._parameters, loss_fn, batches, denominator, chunk_size=2
        )
        first = loss.first_weighted()  # two examples, enough for the checks
        with limited_threads(0):
            loss.check_loss(first, derived)
            self._bytes_per_chunk, self._bytes_per_example = loss.graph_bytes(first)
            loss.use_matrices(first)
        chunk_bytes = _CHUNK_BYTES_CPU if self.device.type == "cpu" else _CHUNK_BYTES_ACCELERATOR
        loss.chunk_size = chunk_size or max(1, chunk_bytes // self._bytes_per_example)
        self._cache_bytes = cache_bytes
        self._read()
        with limited_threads(self._work_bytes):
            loss.check_mixing(first)

    def on(self, batches: Iterable[tuple[Tensor, Tensor]]) -> HessianOperator:
        """Return the operator of the same weights and loss on other batches.

        The model is neither copied nor checked again, which takes most of the time that an operator
        of a small network takes to make.

        Args:
            batches: As on construction, with examples of the same kind.

        Raises:
            ValueError: The batches are refused, as on construction.
            RuntimeError: The loss differs between two passes over them.
        """
        check_readable_again(batches)
        other = copy.copy(self)
        other._mean_loss = self._mean_loss.on(batches)
        other._mean_loss.first_weighted()
        other._read()
        return other

    @property
    def size(self) -> int:
        """The number of trainable weights."""
        return sum(p.numel() for p in self._parameters)

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
        """The number of examples in the batches, including those with ignored targets."""
        return self._num_examples

    @property
    def loss(self) -> float:
        """The mean loss L over all batches."""
        return self._loss

    def matvec(self, vector: Tensor, /) -> Tensor:
        """Return H v.

        Args:
            vector: Shape (size,), of the operator's type and device.

        Returns:
            Shape (size,), without a graph.

        Raises:
            ValueError: The shape is another one.
            RuntimeError: The batches are not those that the operator was made with.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"vector must have shape ({self.size},), got {tuple(vector.shape)}")
        return self.matmat(vector[:, None])[:, 0]

    def matmat(self, vectors: Tensor, /) -> Tensor:
        """Return H V, at a lower cost per column than `matvec` where graphs are not kept.

        Args:
            vectors: Shape (size, k), of the operator's type and device; best with columns that are
                contiguous in memory.

        Returns:
            Shape (size, k) with columns that are contiguous in memory, without a graph.

        Raises:
            ValueError: The shape is another one.
            RuntimeError: The batches are not those that the operator was made with.
        """
        self._check_columns(vectors)
        return self._multiply(self._graphs(), vectors)

    def quadratic_forms(self, vectors: Tensor, /) -> Tensor:
        """Return v'H v for each column, which costs half a product in a small chain of layers.

        Args:
            vectors: Shape (size, k), of the operator's type and device.

        Returns:
            Shape (k,), without a graph.

        Raises:
            ValueError: The shape is another one.
            RuntimeError: The batches are not those that the operator was made with.
        """
        self._check_columns(vectors)
        rows = vectors.detach().T.contiguous()
        forms = rows.new_zeros(len(rows))
        with limited_threads(self._work_bytes), without_autocast(self.device):
            for graph in self._graphs():
                share = graph.weight / self._total_weight
                forms.add_(graph.quadratic_forms(rows), alpha=share)
                del graph  # before the next one is built
        return forms

    def extremal_guesses(self) -> Tensor:
        """Return Ritz vectors of both ends of the Hessian of the first chunk alone.

        A few Lanczos steps from the chunk's gradient, which lies mostly among the eigenvectors of
        the largest eigenvalues (Gur-Ari et al., "Gradient descent happens in a tiny subspace",
        2018). They cost little beside a product and save several.

        Returns:
            Unit columns, shape (size, 2); NaN where the weights have diverged.
        """
        with limited_threads(self._work_bytes):
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

    def _check_columns(self, vectors: Tensor) -> None:
        """Refuse vectors of another shape."""
        if vectors.ndim != 2 or len(vectors) != self.size:
            raise ValueError(
                f"vectors must have shape ({self.size}, k), got {tuple(vectors.shape)}"
            )

    def _multiply(self, graphs: Iterable[GradientGraph | ChainGraph], vectors: Tensor) -> Tensor:
        """Return the sum over the chunks of these graphs in H V, with contiguous columns."""
        rows = vectors.detach().T.contiguous()
        products = torch.zeros_like(rows)
        with limited_threads(self._work_bytes), without_autocast(self.device):
            for graph in graphs:
                graph.accumulate_products(rows, products, graph.weight / self._total_weight)
                del graph  # before the next one is built
        return products.T

    def _graphs(self) -> Iterator[GradientGraph | ChainGraph]:
        """Yield the graph of every chunk, those that are kept first.

        Raises:
            RuntimeError: A chunk that is read again has another loss, or is missing.
        """
        yield from self._cache
        index = len(self._cache)
        if index == len(self._losses):
            return
        for chunk in self._mean_loss.chunks(skip=index):
            if chunk.weight == 0:
                continue
            graph = self._mean_loss.gradient_graph(chunk)
            if index == len(self._losses) or not self._mean_loss.is_close(
                graph.loss, self._losses[index]
            ):
                raise RuntimeError(_BATCHES_DIFFER)
            index += 1
            yield graph
            del graph  # before the next one is built
        if index < len(self._losses):
            raise RuntimeError(_BATCHES_DIFFER)

    def _read(self) -> None:
        """Read the batches for the first time: their loss, and the graphs that are kept."""
        loss = self._mean_loss
        self._cache: list[GradientGraph | ChainGraph] = []
        self._losses: list[float] = []
        self._num_examples, self._total_weight, self._work_bytes = 0, 0.0, 0
        weighted_loss, cache_bytes = 0.0, self._cache_bytes
        check = loss.denominator_check()
        for chunk in loss.chunks():
            size = len(chunk.inputs)
            self._num_examples += size
            if chunk.weight == 0:
                continue
            graph_bytes = self._bytes_per_chunk + self._bytes_per_example * size
            self._work_bytes = max(self._work_bytes, graph_bytes)
            cache_bytes -= graph_bytes
            with limited_threads(self._work_bytes):
                self._losses.append(self._first_loss(chunk, check, keep=cache_bytes >= 0))
            weighted_loss += chunk.weight * self._losses[-1]
            self._total_weight += chunk.weight
        self._loss = weighted_loss / self._total_weight
        with limited_threads(self._work_bytes):
            self._check_again()

    def _first_loss(self, chunk: Chunk, check: DenominatorCheck, *, keep: bool) -> float:
        """Return the loss of a chunk that is read for the first time; keep its graph or not."""
        if keep:
            self._cache.append(self._mean_loss.gradient_graph(chunk, check))
            return self._cache[-1].loss
        with torch.no_grad():
            outputs, loss = self._mean_loss.evaluate(chunk)
        check.check(outputs, chunk.targets, float(loss))
        return float(loss)

    def _check_again(self) -> None:
        """Read the first chunk again, and refuse another loss."""
        chunk = next((chunk for chunk in self._mean_loss.chunks() if chunk.weight > 0), None)
        if chunk is None or not self._mean_loss.is_close(
            self._mean_loss.loss_of(chunk), self._losses[0]
        ):
            raise RuntimeError(_BATCHES_DIFFER)


class _ChunkHessian:
    """The term of one chunk in the Hessian of an operator, as an operator."""

    def __init__(self, whole: HessianOperator, graph: GradientGraph | ChainGraph) -> None:
        self.size, self.dtype, self.device = whole.size, whole.dtype, whole.device
        self._whole = whole
        self._graph = graph

    def matvec(self, vector: Tensor, /) -> Tensor:
        """Return its product with a vector."""
        return self._whole._multiply([self._graph], vector[:, None])[:, 0]
