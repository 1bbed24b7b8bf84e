"""Layers that are affine in their input, as one matrix product each, for `_affine_chain`.

A layer maps values a to K U(a) + b, where ``U`` copies each value for every weight of a kernel that
multiplies it (im2col). Values have one row per channel, and one column per pixel and example, those
of a pixel next to each other. For `nn.Linear`, ``U`` is the identity and K the weight. A
convolution with kernel w and bias c, followed by a batch normalisation with the running mean μ and
variance σ² and with weights γ and β, has

    s = γ / √(σ² + ε)        K = s w        b = s (c − μ) + β

K and b are bilinear in (w, c) and γ, so a second derivative has terms of their gradient as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AffineLayer", "ConvolutionLayer", "LinearLayer"]

_Pair = tuple[Tensor, Tensor]
"""Of K, shape (..., output channels, rows of U), and of b, shape (..., output channels)."""


class AffineLayer(Protocol):
    """An affine layer as a function of its weights.

    Methods take several directions, inputs or errors at once, along leading axes.
    """

    parameters: list[Tensor]
    """Its weights."""
    kernel: Tensor
    """K, shape (output channels, rows of U)."""
    offset: Tensor
    """b, shape (output channels,)."""

    def unfold(self, values: Tensor) -> Tensor:
        """Return U(a), shape (..., rows of U, output pixels x examples)."""

    def fold(self, unfolded: Tensor) -> Tensor:
        """Return the adjoint of `unfold`: the sum over the copies of each value."""

    def from_weights(self, direction: Sequence[Tensor]) -> _Pair:
        """Return the derivatives of K and b along a direction, one tensor per weight."""

    def to_weights(
        self, change: _Pair, gradient: _Pair, direction: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the derivative along a direction of the gradient for each weight.

        Args:
            change: Derivatives of the gradients for K and b along the direction.
            gradient: The gradients for K and b.
            direction: One tensor per weight.
        """

    def second_derivative(self, gradient: _Pair, direction: Sequence[Tensor]) -> Tensor | float:
        """Return ⟨∂L/∂K, K̈⟩ + ⟨∂L/∂b, b̈⟩ with the second derivatives along a direction."""


class LinearLayer:
    """`nn.Linear` with a bias."""

    def __init__(self, module: nn.Linear) -> None:
        self.parameters: list[Tensor] = [module.weight, module.bias]
        self.kernel = module.weight.detach()
        self.offset = module.bias.detach()
        self._features = module.in_features

    def unfold(self, values: Tensor) -> Tensor:
        """Return the values, one row per feature."""
        return values.reshape(*values.shape[:-2], self._features, -1)

    def fold(self, unfolded: Tensor) -> Tensor:
        """Return the values."""
        return unfolded

    def from_weights(self, direction: Sequence[Tensor]) -> _Pair:
        """Return the derivatives of K and b along a direction."""
        weight, bias = direction
        return weight, bias

    def to_weights(
        self, change: _Pair, gradient: _Pair, direction: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the derivatives of the gradients of weight and bias."""
        return list(change)

    def second_derivative(self, gradient: _Pair, direction: Sequence[Tensor]) -> float:
        """Return 0: K and b are linear in the weights."""
        return 0.0


class ConvolutionLayer:
    """`nn.Conv2d`, with the `nn.BatchNorm2d` after it if there is one; `of` makes it.

    Args:
        module: The convolution.
        norm: The normalisation in eval mode.
        sources: The input pixel, counted from 1, that each weight of a kernel multiplies for each
            output pixel; 0 for padding. Shape (kernel height x width x output pixels,).
        shape: Channels, height and width of the input.
        out_shape: Those of the output.
    """

    def __init__(
        self,
        module: nn.Conv2d,
        norm: nn.BatchNorm2d | None,
        sources: Tensor,
        shape: torch.Size,
        out_shape: torch.Size,
    ) -> None:
        self.out_shape = out_shape
        self._has_bias, self._has_norm = module.bias is not None, norm is not None
        own = [module.weight, module.bias, *(() if norm is None else (norm.weight, norm.bias))]
        self.parameters = [parameter for parameter in own if parameter is not None]
        self._sources = sources
        self._channels, self._pixels = shape[0], shape[1:].numel()
        self._weight = module.weight.detach().flatten(1)
        self._zeros = self._weight.new_zeros(len(self._weight))
        self._centred = self._zeros if module.bias is None else module.bias.detach()
        self._root, self._scale, shift = self._zeros, self._zeros + 1, self._zeros
        if norm is not None and norm.running_var is not None and norm.running_mean is not None:
            self._root = torch.rsqrt(norm.running_var + norm.eps)
            self._scale, shift = norm.weight.detach() * self._root, norm.bias.detach()
            self._centred = self._centred - norm.running_mean
        self.kernel = self._weight * self._scale[:, None]
        self.offset = self._scale * self._centred + shift

    @classmethod
    def of(
        cls,
        module: nn.Conv2d,
        norm: nn.BatchNorm2d | None,
        shape: torch.Size,
        *,
        max_entries: int,
    ) -> ConvolutionLayer | None:
        """Return the layer; None if it is of another kind, or its images too large.

        Args:
            module: The convolution.
            norm: The normalisation after it.
            shape: Channels, height and width of its input.
            max_entries: Largest number of entries of U for one example.
        """
        is_plain = module.groups == 1 and module.padding_mode == "zeros"
        if not is_plain or isinstance(module.padding, str):
            return None
        if norm is not None and (norm.running_var is None or norm.weight is None):
            return None
        sizes = module.kernel_size, module.dilation, module.padding, module.stride
        numbers = torch.arange(1.0, 1 + shape[1:].numel(), dtype=torch.float64)
        sources = F.unfold(numbers.view(1, 1, *shape[1:]), *sizes).long().flatten()
        if shape[0] * len(sources) > max_entries:
            return None
        image = torch.empty(1, *shape, device="meta", dtype=module.weight.dtype)
        kernel = module.weight.detach().to("meta")
        out_shape = F.conv2d(
            image, kernel, None, module.stride, module.padding, module.dilation
        ).shape[1:]
        return cls(module, norm, sources.to(module.weight.device), shape, out_shape)

    def unfold(self, values: Tensor) -> Tensor:
        """Return a copy of each value for each weight that it meets, and zeros for the padding."""
        lead = values.shape[:-2]
        pixels = values.reshape(*lead, self._channels, self._pixels, -1)
        copies = F.pad(pixels, (0, 0, 1, 0)).index_select(-2, self._sources)
        return copies.view(*lead, self._weight.shape[1], -1)

    def fold(self, unfolded: Tensor) -> Tensor:
        """Return the sum over the copies of each value."""
        lead = unfolded.shape[:-2]
        copies = unfolded.reshape(*lead, self._channels, len(self._sources), -1)
        padded = copies.new_zeros(*lead, self._channels, 1 + self._pixels, copies.shape[-1])
        return padded.index_add_(-2, self._sources, copies)[..., 1:, :].flatten(-2)

    def from_weights(self, direction: Sequence[Tensor]) -> _Pair:
        """Return the derivatives of K and b along a direction."""
        weight, bias, scale, shift = self._named(direction)
        kernel = torch.addcmul(weight * self._scale[:, None], self._weight, scale[..., None])
        offset = torch.addcmul(shift, self._centred, scale)
        return kernel, torch.addcmul(offset, bias, self._scale) if self._has_bias else offset

    def to_weights(
        self, change: _Pair, gradient: _Pair, direction: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the derivatives of the gradients of kernel, bias, γ and β."""
        weight, bias, scale, _ = self._named(direction)
        (kernel, offset), (of_kernel, of_offset) = change, gradient
        products = [torch.addcmul(kernel * self._scale[:, None], of_kernel, scale[..., None])]
        if self._has_bias:
            products.append(torch.addcmul(offset * self._scale, of_offset, scale))
        if self._has_norm:
            of_scale = torch.addcmul(kernel * self._weight, of_kernel, weight).sum(-1)
            of_scale.addcmul_(offset, self._centred)
            if self._has_bias:
                of_scale.addcmul_(of_offset, bias)
            products += [of_scale * self._root, offset]
        return products

    def second_derivative(self, gradient: _Pair, direction: Sequence[Tensor]) -> Tensor:
        """Return the terms of kernel and bias times s."""
        weight, bias, scale, _ = self._named(direction)
        of_scale = (gradient[0] * weight).sum(-1) + gradient[1] * bias
        return 2 * (of_scale * scale).sum(-1)

    def _named(self, direction: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The parts of a direction: of w, c, s and β."""
        parts = list(direction)
        weight = parts.pop(0).flatten(-3)
        bias = parts.pop(0) if self._has_bias else self._zeros
        scale, shift = parts if self._has_norm else (self._zeros, self._zeros)
        return weight, bias, scale * self._root, shift
