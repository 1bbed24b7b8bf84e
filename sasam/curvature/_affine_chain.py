"""Hessian-vector products of small chains of affine layers and ReLUs, as matrix products.

    zₗ = Kₗ U(aₗ₋₁) + bₗ        aₗ = max(zₗ, 0)        L = ℓ(z_last, targets)

In eval mode a convolution, with the batch normalisation after it, is one product of a matrix Kₗ(θ)
with a rearrangement U of its input. On small images these products cost less than the many small
operations of a convolution that is differentiated twice, and several directions share them. A
product H v differentiates both passes along v (Pearlmutter, "Fast exact multiplication by the
Hessian", 1994). With δₗ = ∂L/∂zₗ, the mask mₗ of the positive zₗ, and a dot for the derivative
along v:

    żₗ = Kₗ U(ȧₗ₋₁) + K̇ₗ U(aₗ₋₁) + ḃₗ        ȧₗ = mₗ żₗ        δ̇_last = ∂²ℓ ż_last
    δ̇ₗ₋₁ = mₗ₋₁ U'(Kₗ' δ̇ₗ + K̇ₗ' δₗ)        (∂L/∂Kₗ)˙ = δₗ U(ȧₗ₋₁)' + δ̇ₗ U(aₗ₋₁)'
    (∂L/∂bₗ)˙ = Σ δ̇ₗ

The layers of `_affine_layers` map these derivatives to those of their weights. Products equal those
of the differentiated graph up to rounding. `docs/benchmarks-curvature.md` has the measurements
behind the two limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sasam.curvature._affine_layers import AffineLayer, ConvolutionLayer, LinearLayer
from sasam.curvature._batches import Chunk
from sasam.curvature._graphs import split_by_weight
from sasam.curvature._mean_loss import LossFunction

__all__ = ["AffineChain", "ChainGraph"]

# Most entries of U(a) for one example of a convolution.
_MAX_ENTRIES = 2**13
# All U(ȧ) of the directions that are multiplied at once, which should stay in the caches of a CPU.
_GROUP_BYTES = 3 * 2**20
_IDENTITIES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)  # in eval mode


@dataclass(frozen=True, slots=True)
class AffineChain:
    """A network in eval mode as affine layers; a ReLU follows some of them.

    Attributes:
        shape: Shape of one example.
        layers: The layers, and whether a ReLU follows each.
    """

    shape: torch.Size
    layers: tuple[tuple[AffineLayer, bool], ...]

    @classmethod
    def of(
        cls, model: nn.Module, parameters: Sequence[Tensor], shape: torch.Size
    ) -> AffineChain | None:
        """Read a network; None if it is no such chain, or its images are too large.

        Args:
            model: The network.
            parameters: The weights that a direction has, in its order: all of the network.
            shape: Shape of one example.
        """
        modules = _flattened(model)
        layers = None if modules is None else _read_layers(modules, shape)
        if layers is None:
            return None
        last, has_relu = layers[-1]
        if has_relu or not isinstance(last, LinearLayer):
            return None
        owned = [parameter for layer, _ in layers for parameter in layer.parameters]
        if [id(parameter) for parameter in owned] != [id(parameter) for parameter in parameters]:
            return None  # frozen, shared or unused ones
        return cls(shape, tuple(layers))

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the network."""
        values = inputs.flatten(1).T
        for layer, has_relu in self.layers:
            values = torch.addmm(layer.offset[:, None], layer.kernel, layer.unfold(values))
            values = values.relu() if has_relu else values
        return values.T

    def gradient_graph(self, chunk: Chunk, loss: float, loss_fn: LossFunction) -> ChainGraph:
        """Return the gradient of a chunk's loss, ready for products.

        Args:
            chunk: Examples of `shape`.
            loss: Their mean loss.
            loss_fn: Maps outputs and targets to it.
        """
        return ChainGraph(self.layers, chunk, loss, loss_fn)


class ChainGraph:
    """The gradient of a chunk's loss and the activations behind it; a `GradientGraph` of chains.

    Attributes:
        loss: Mean loss of the chunk.
        weight: Weight of the chunk.
        gradient: The gradient as a vector.
    """

    @torch.no_grad()
    def __init__(
        self,
        layers: Sequence[tuple[AffineLayer, bool]],
        chunk: Chunk,
        loss: float,
        loss_fn: LossFunction,
    ) -> None:
        self.loss = loss
        self.weight = chunk.weight
        self._layers = [layer for layer, _ in layers]
        self._parameters = [p for layer in self._layers for p in layer.parameters]
        self._targets = chunk.targets
        self._loss_fn = loss_fn
        self._inputs: list[Tensor] = []
        self._masks: list[Tensor | None] = []
        values = chunk.inputs.flatten(1).T
        for layer, has_relu in layers:
            self._inputs.append(layer.unfold(values))
            values = torch.addmm(layer.offset[:, None], layer.kernel, self._inputs[-1])
            self._masks.append((values > 0).to(values.dtype) if has_relu else None)
            values = values.relu() if has_relu else values
        self._outputs = values.T
        self._copies, self._slopes = self._differentiate_loss(1)
        errors = [self._slopes.detach().T]
        for index in range(len(self._layers) - 1, 0, -1):
            errors.append(self._back(index, self._layers[index].kernel.T @ errors[-1]))
        self._errors = errors[::-1]
        self._gradients = [
            (error @ inputs.T, error.sum(1))
            for inputs, error in zip(self._inputs, self._errors, strict=True)
        ]
        still = [[torch.zeros_like(p) for p in layer.parameters] for layer in self._layers]
        self.gradient = torch.cat(
            [
                part.flatten()
                for layer, gradient, direction in zip(
                    self._layers, self._gradients, still, strict=True
                )
                for part in layer.to_weights(gradient, gradient, direction)
            ]
        )

    def _groups(self, vectors: Tensor) -> Sequence[Tensor]:
        """The rows in groups of about one size whose U(ȧ) stay in the caches."""
        most = max(1, _GROUP_BYTES // sum(inputs.nbytes for inputs in self._inputs))
        return vectors.tensor_split(-(-len(vectors) // most)) if len(vectors) else ()

    @torch.no_grad()
    def accumulate_products(self, vectors: Tensor, totals: Tensor, weight: float) -> None:
        """Add the weighted products with vectors, one per row, to the rows of their sums."""
        for group, sums in zip(self._groups(vectors), self._groups(totals), strict=True):
            parts = self._products(split_by_weight(group, self._parameters))
            sums.add_(torch.cat([part.flatten(1) for part in parts], 1), alpha=weight)

    @torch.no_grad()
    def quadratic_forms(self, vectors: Tensor) -> Tensor:
        """Return v'Hv of each row, unweighted: as a second derivative, by one forward pass.

        v'Hv = ⟨ż_last, ∂²ℓ ż_last⟩ + Σₗ 2 ⟨K̇ₗ, δₗ U(ȧₗ₋₁)'⟩ + ⟨∂L/∂Kₗ, K̈ₗ⟩ + ⟨∂L/∂bₗ, b̈ₗ⟩
        """
        forms = vectors.new_empty(len(vectors))
        for group, part in zip(self._groups(vectors), self._groups(forms), strict=True):
            part.copy_(self._forms(split_by_weight(group, self._parameters)))
        return forms

    def _forms(self, directions: Sequence[Tensor]) -> Tensor:
        """The quadratic forms of several directions, in the weights' shapes."""
        own, tangents, moved, outputs = self._derivatives(directions)
        forms = (outputs * self._loss_change(outputs)).sum((1, 2))
        for layer, gradient, part in zip(self._layers, self._gradients, own, strict=True):
            forms += layer.second_derivative(gradient, part)
        for (kernel, _), inputs, error in zip(tangents[1:], moved, self._errors[1:], strict=True):
            forms += 2 * (kernel * (error @ inputs.mT)).sum((1, 2))
        return forms

    def _products(self, directions: Sequence[Tensor]) -> list[Tensor]:
        """H v of several directions, in the order of the weights."""
        own, tangents, moved, outputs = self._derivatives(directions)
        change, count = self._loss_change(outputs), len(outputs)
        products: list[list[Tensor]] = []
        for index in range(len(self._layers) - 1, -1, -1):
            layer, error = self._layers[index], self._errors[index].expand(count, -1, -1)
            kernel_change, offset_change = change @ self._inputs[index].T, change.sum(-1)
            if index > 0:
                kernel_change.baddbmm_(error, moved[index - 1].mT)
                kernel = layer.kernel.T.expand(count, -1, -1)
                # In place of U(ȧ), which is not needed again: fresh memory costs page faults.
                copies = torch.bmm(kernel, change, out=moved[index - 1])
                change = self._back(index, copies.baddbmm_(tangents[index][0].mT, error))
            gradient_change = kernel_change, offset_change
            products.append(layer.to_weights(gradient_change, self._gradients[index], own[index]))
        return [product for parts in reversed(products) for product in parts]

    def _derivatives(
        self, directions: Sequence[Tensor]
    ) -> tuple[list[list[Tensor]], list[tuple[Tensor, Tensor]], list[Tensor], Tensor]:
        """Derivatives along directions: of weights, of K and b, of U(aₗ) by layer, of z_last."""
        parts = list(directions)
        own = [[parts.pop(0) for _ in layer.parameters] for layer in self._layers]
        tangents = [layer.from_weights(part) for layer, part in zip(self._layers, own, strict=True)]
        moved: list[Tensor] = []
        for index, (layer, (kernel, offset)) in enumerate(zip(self._layers, tangents, strict=True)):
            inputs = self._inputs[index].expand(len(kernel), -1, -1)
            values = torch.baddbmm(offset[..., None], kernel, inputs)
            if index > 0:
                values.baddbmm_(layer.kernel.expand(len(kernel), -1, -1), moved[-1])
            values = _masked(values, self._masks[index])
            if index < len(self._layers) - 1:
                moved.append(self._layers[index + 1].unfold(values))
        return own, tangents, moved, values

    def _back(self, index: int, copies: Tensor) -> Tensor:
        """∂L/∂z of the layer before this one, from that for U(a) of this one."""
        values = self._layers[index].fold(copies)
        rows, columns = len(self._layers[index - 1].offset), self._inputs[index - 1].shape[-1]
        return _masked(values.view(*values.shape[:-2], rows, columns), self._masks[index - 1])

    def _loss_change(self, changes: Tensor) -> Tensor:
        """The derivatives of ∂ℓ/∂z_last along changes of z_last.

        The loss is a mean over examples that do not mix, so all are found at once, each on a copy
        of the examples.
        """
        count, _, examples = changes.shape
        if len(self._copies) != count * examples:
            self._copies, self._slopes = self._differentiate_loss(count)
        if not self._slopes.requires_grad:  # a loss that is linear in the outputs
            return torch.zeros_like(changes)
        (found,) = torch.autograd.grad(
            self._slopes,
            self._copies,
            changes.mT.flatten(0, 1),
            retain_graph=True,
            materialize_grads=True,
        )
        return found.view(count, examples, -1).mT

    @torch.enable_grad()
    def _differentiate_loss(self, count: int) -> tuple[Tensor, Tensor]:
        """Copies of the outputs, and ∂ℓ/∂z_last of each copy by itself."""
        copies = self._outputs.repeat(count, 1).requires_grad_()
        loss = count * self._loss_fn(copies, torch.cat([self._targets] * count))
        (slopes,) = torch.autograd.grad(loss, copies, create_graph=True)
        return copies, slopes


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """The values of active units, changed in place."""
    return values if mask is None else values.mul_(mask)


def _flattened(model: nn.Module) -> list[nn.Module] | None:
    """The modules of nested `nn.Sequential`s in order; None if one has hooks or its own forward."""
    if model._forward_hooks or model._forward_pre_hooks or "forward" in vars(model):
        return None
    if type(model) is not nn.Sequential:
        return [model]
    found: list[nn.Module] = []
    for child in model:
        inner = _flattened(child)
        if inner is None:
            return None
        found += inner
    return found


def _read_layers(
    modules: Sequence[nn.Module], shape: torch.Size
) -> list[tuple[AffineLayer, bool]] | None:
    """The affine layers with their ReLUs; None if a module is none of these."""
    layers: list[tuple[AffineLayer, bool]] = []
    waiting = [module for module in modules if type(module) not in _IDENTITIES]
    while waiting:
        module = waiting.pop(0)
        if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
            shape = torch.Size([shape.numel()])
        elif type(module) is nn.ReLU and layers:
            layers[-1] = layers[-1][0], True
        elif type(module) is nn.Linear and len(shape) == 1 and module.bias is not None:
            layers.append((LinearLayer(module), False))
            shape = torch.Size([module.out_features])
        elif type(module) is nn.Conv2d and len(shape) == 3:
            norm = next(iter(waiting), None)
            if type(norm) is nn.BatchNorm2d:
                waiting.pop(0)
            else:
                norm = None
            layer = ConvolutionLayer.of(module, norm, shape, max_entries=_MAX_ENTRIES)
            if layer is None:
                return None
            layers.append((layer, False))
            shape = layer.out_shape
        else:
            return None
    return layers or None
