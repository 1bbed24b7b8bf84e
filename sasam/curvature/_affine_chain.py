"""Hessian-vector products of small chains of affine layers and ReLUs, as matrix products.

    zₗ = aₗ₋₁ Aₗ + bₗ        aₗ = max(zₗ, 0)        L = ℓ(z_last, targets)

In eval mode a convolution, with the batch normalisation after it, is an affine map. On small images
its dense matrix Aₗ(θ) is not much larger than its kernel, and one matrix product costs less than
the many small operations of a convolution that is differentiated twice. A product H v
differentiates both passes along v (Pearlmutter, "Fast exact multiplication by the Hessian", 1994).
With δₗ = ∂L/∂zₗ, the mask mₗ of the positive zₗ, and a dot for the derivative along v:

    żₗ = ȧₗ₋₁ Aₗ + aₗ₋₁ Ȧₗ + ḃₗ        ȧₗ = mₗ żₗ        δ̇_last = ∂²ℓ ż_last
    δ̇ₗ₋₁ = mₗ₋₁ (δ̇ₗ Aₗ' + δₗ Ȧₗ')        (∂L/∂Aₗ)˙ = ȧₗ₋₁' δₗ + aₗ₋₁' δ̇ₗ        (∂L/∂bₗ)˙ = Σ δ̇ₗ

The layers of `_affine_layers` map these derivatives to those of their weights. Products equal those
of the differentiated graph up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sasam.curvature._affine_layers import AffineLayer, ConvolutionLayer, LinearLayer
from sasam.curvature._batches import Chunk
from sasam.curvature._mean_loss import LossFunction

__all__ = ["AffineChain", "ChainGraph"]

# Entries of a convolution's dense matrix, and their number per multiplication of the convolution.
_MAX_ENTRIES = 2**16
_MAX_EXPANSION = 8
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
        """Read a network; None if it is no such chain, or too large for dense matrices.

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
        values = inputs.flatten(1)
        for layer, has_relu in self.layers:
            values = torch.addmm(layer.offset, values, layer.matrix)
            values = values.relu() if has_relu else values
        return values

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
        self._inputs = [chunk.inputs.flatten(1)]
        self._masks: list[Tensor | None] = []
        for layer, has_relu in layers:
            outputs = torch.addmm(layer.offset, self._inputs[-1], layer.matrix)
            mask = (outputs > 0).to(outputs.dtype) if has_relu else None
            self._masks.append(mask)
            self._inputs.append(outputs if mask is None else outputs.relu())
        self._outputs = self._inputs.pop().requires_grad_()
        with torch.enable_grad():
            mean = loss_fn(self._outputs, chunk.targets)
            (self._slope,) = torch.autograd.grad(mean, self._outputs, create_graph=True)
        errors = [self._slope.detach()]
        for layer, mask in zip(self._layers[:0:-1], self._masks[-2::-1], strict=True):
            errors.append(_masked(errors[-1] @ layer.matrix.T, mask))
        self._errors = errors[::-1]
        gradients = [
            (inputs.T @ error, error.sum(0))
            for inputs, error in zip(self._inputs, self._errors, strict=True)
        ]
        self._kernels = [
            layer.kernel_gradient(*gradient)
            for layer, gradient in zip(self._layers, gradients, strict=True)
        ]
        still = [[torch.zeros_like(p) for p in layer.parameters] for layer in self._layers]
        self.gradient = torch.cat(
            [
                part.flatten()
                for layer, gradient, kernel, direction in zip(
                    self._layers, gradients, self._kernels, still, strict=True
                )
                for part in layer.to_weights(gradient, kernel, direction)
            ]
        )

    @torch.no_grad()
    def accumulate_products(
        self, pairs: list[tuple[list[Tensor], list[Tensor]]], weight: float
    ) -> None:
        """Add the weighted product with each direction to its sum, all in the weights' shapes."""
        for direction, total in pairs:
            for part, product in zip(total, self._product(direction), strict=True):
                part.add_(product.view_as(part), alpha=weight)

    @torch.no_grad()
    def quadratic_forms(self, directions: list[list[Tensor]]) -> list[Tensor]:
        """Return v'Hv of each direction, unweighted: as a second derivative, by one forward pass.

        v'Hv = ⟨ż_last, ∂²ℓ ż_last⟩ + Σₗ 2 ⟨δₗ, ȧₗ₋₁ Ȧₗ⟩ + ⟨∂L/∂Aₗ, Äₗ⟩ + ⟨∂L/∂bₗ, b̈ₗ⟩
        """
        return [self._form(direction) for direction in directions]

    def _form(self, direction: Sequence[Tensor]) -> Tensor:
        """The quadratic form of one direction."""
        own, tangents, moved = self._derivatives(direction)
        form = (moved[-1] * self._loss_change(moved[-1])).sum()
        for index, layer in enumerate(self._layers):
            form += layer.second_derivative(self._kernels[index], own[index])
            if index > 0:
                mixed = moved[index] @ tangents[index][0]
                form += 2 * mixed.mul_(self._errors[index]).sum()
        return form

    def _derivatives(
        self, direction: Sequence[Tensor]
    ) -> tuple[list[list[Tensor]], list[tuple[Tensor, Tensor]], list[Tensor]]:
        """Derivatives along a direction: of weights, of A and b, and of inputs by layer."""
        parts = list(direction)
        own = [[parts.pop(0) for _ in layer.parameters] for layer in self._layers]
        tangents = [layer.from_weights(part) for layer, part in zip(self._layers, own, strict=True)]
        return own, tangents, self._forward(tangents)

    def _loss_change(self, change: Tensor) -> Tensor:
        """The derivative of ∂ℓ/∂z_last along a change of z_last."""
        if not self._slope.requires_grad:  # a loss that is linear in the outputs
            return torch.zeros_like(change)
        (found,) = torch.autograd.grad(
            self._slope, self._outputs, change, retain_graph=True, materialize_grads=True
        )
        return found

    def _product(self, direction: Sequence[Tensor]) -> list[Tensor]:
        """H v, in the order of the weights."""
        directions, tangents, moved = self._derivatives(direction)
        change = self._loss_change(moved.pop())
        products: list[list[Tensor]] = []
        for index in range(len(self._layers) - 1, -1, -1):
            layer, inputs, error = self._layers[index], self._inputs[index], self._errors[index]
            matrix = inputs.T @ change
            if index > 0:
                matrix.addmm_(moved[index].T, error)
            gradient = matrix, change.sum(0)
            products.append(layer.to_weights(gradient, self._kernels[index], directions[index]))
            if index > 0:
                change = (change @ layer.matrix.T).addmm_(error, tangents[index][0].T)
                change = _masked(change, self._masks[index - 1])
        return [product for own in reversed(products) for product in own]

    def _forward(self, tangents: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """The derivatives along a direction of the layers' inputs, and of the last outputs."""
        moved = [torch.zeros_like(self._inputs[0])]
        for index, (layer, (matrix, offset)) in enumerate(zip(self._layers, tangents, strict=True)):
            outputs = torch.addmm(offset, self._inputs[index], matrix)
            if index > 0:
                outputs.addmm_(moved[-1], layer.matrix)
            moved.append(_masked(outputs, self._masks[index]))
        return moved


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
            layer = ConvolutionLayer.of(
                module, norm, shape, max_entries=_MAX_ENTRIES, max_expansion=_MAX_EXPANSION
            )
            if layer is None:
                return None
            layers.append((layer, False))
            shape = layer.out_shape
        else:
            return None
    return layers or None
