"""Layers that are affine in their input, with dense matrices, for `_affine_chain`.

A layer maps rows a to a A + b. A convolution with kernel w and bias c, followed by a batch
normalisation with the running mean μ and variance σ² and with weights γ and β, has

    s = γ / √(σ² + ε)        A = place(w s)        b = s (c − μ) + β

where ``place`` puts each weight of a kernel at the pairs of pixels that it connects. A and b are
bilinear in (w, c) and γ, so a second derivative has terms of their gradient as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AffineLayer", "ConvolutionLayer", "LinearLayer"]

_Pair = tuple[Tensor, Tensor]
"""Of a matrix A, shape (inputs, outputs), and an offset b, shape (outputs,)."""


class AffineLayer(Protocol):
    """An affine layer as a function of its weights."""

    parameters: list[Tensor]
    """Its weights."""
    matrix: Tensor
    """A, shape (inputs, outputs)."""
    offset: Tensor
    """b, shape (outputs,)."""

    def from_weights(self, direction: Sequence[Tensor]) -> _Pair:
        """Return the derivatives of A and b along a direction, one tensor per weight."""

    def kernel_gradient(self, matrix: Tensor, offset: Tensor) -> _Pair:
        """Return the gradients for the kernel and bias from those for A and b, as if s were 1."""

    def to_weights(self, change: _Pair, kernel: _Pair, direction: Sequence[Tensor]) -> list[Tensor]:
        """Return the derivative along a direction of the gradient for each weight.

        Args:
            change: Derivatives of the gradients for A and b along the direction.
            kernel: `kernel_gradient` of the gradients themselves.
            direction: One tensor per weight.
        """

    def second_derivative(self, kernel: _Pair, direction: Sequence[Tensor]) -> Tensor | float:
        """Return ⟨∂L/∂A, Ä⟩ + ⟨∂L/∂b, b̈⟩ with the second derivatives along a direction."""


class LinearLayer:
    """`nn.Linear` with a bias."""

    def __init__(self, module: nn.Linear) -> None:
        self.parameters: list[Tensor] = [module.weight, module.bias]
        self.matrix = module.weight.detach().T
        self.offset = module.bias.detach()

    def from_weights(self, direction: Sequence[Tensor]) -> _Pair:
        """Return the derivatives of A and b along a direction."""
        weight, bias = direction
        return weight.T, bias

    def kernel_gradient(self, matrix: Tensor, offset: Tensor) -> _Pair:
        """Return the gradients of weight and bias."""
        return matrix.T, offset

    def to_weights(self, change: _Pair, kernel: _Pair, direction: Sequence[Tensor]) -> list[Tensor]:
        """Return the derivatives of the gradients of weight and bias."""
        return [change[0].T, change[1]]

    def second_derivative(self, kernel: _Pair, direction: Sequence[Tensor]) -> float:
        """Return 0: A and b are linear in the weights."""
        return 0.0


class ConvolutionLayer:
    """`nn.Conv2d`, with the `nn.BatchNorm2d` after it if there is one; `of` makes it.

    Args:
        module: The convolution.
        norm: The normalisation in eval mode.
        taps: Which weight of a kernel connects which pixels: 0 or 1, shape (kernel height x width,
            input pixels, output pixels).
        out_shape: Channels, height and width of the output.
    """

    def __init__(
        self, module: nn.Conv2d, norm: nn.BatchNorm2d | None, taps: Tensor, out_shape: torch.Size
    ) -> None:
        self.out_shape = out_shape
        self._has_bias, self._has_norm = module.bias is not None, norm is not None
        own = [module.weight, module.bias, *(() if norm is None else (norm.weight, norm.bias))]
        self.parameters = [parameter for parameter in own if parameter is not None]
        self._pixels = taps.shape[1:]
        self._taps = taps.flatten(1)
        self._kernel = module.weight.detach().flatten(2)
        self._zeros = self._kernel.new_zeros(len(self._kernel))
        self._centred = self._zeros if module.bias is None else module.bias.detach()
        self._root, self._scale, shift = self._zeros, self._zeros + 1, self._zeros
        if norm is not None and norm.running_var is not None and norm.running_mean is not None:
            self._root = torch.rsqrt(norm.running_var + norm.eps)
            self._scale, shift = norm.weight.detach() * self._root, norm.bias.detach()
            self._centred = self._centred - norm.running_mean
        self.matrix = self._place(self._kernel * self._scale[:, None, None])
        self.offset = self._spread(self._scale * self._centred + shift)

    @classmethod
    def of(
        cls,
        module: nn.Conv2d,
        norm: nn.BatchNorm2d | None,
        shape: torch.Size,
        *,
        max_entries: int,
        max_expansion: float,
    ) -> ConvolutionLayer | None:
        """Return the layer; None if it is of another kind, or its matrix too large.

        Args:
            module: The convolution.
            norm: The normalisation after it.
            shape: Channels, height and width of its input.
            max_entries: Largest number of entries of A.
            max_expansion: Largest number of entries of A per multiplication of the convolution.
        """
        is_plain = module.groups == 1 and module.padding_mode == "zeros"
        if not is_plain or isinstance(module.padding, str):
            return None
        if norm is not None and (norm.running_var is None or norm.weight is None):
            return None
        weight = module.weight
        with torch.no_grad():
            image = weight.new_empty(1, *shape, device="meta")
            out_shape = _convolve(module, image, weight.to("meta")).shape[1:]
            entries = shape.numel() * out_shape.numel()
            multiplications = weight[0].numel() * out_shape.numel()
            if entries > min(max_entries, max_expansion * multiplications):
                return None
            pixels, taps = shape[1:].numel(), weight[0, 0].numel()
            images = torch.eye(pixels, dtype=weight.dtype, device=weight.device)
            kernels = torch.eye(taps, dtype=weight.dtype, device=weight.device)
            connected = _convolve(
                module,
                images.view(pixels, 1, *shape[1:]),
                kernels.view(taps, 1, *weight.shape[2:]),
            )
        return cls(module, norm, connected.flatten(2).transpose(0, 1).contiguous(), out_shape)

    def from_weights(self, direction: Sequence[Tensor]) -> _Pair:
        """Return the derivatives of A and b along a direction."""
        kernel, bias, scale, shift = self._named(direction)
        along = kernel * self._scale[:, None, None] + self._kernel * scale[:, None, None]
        return self._place(along), self._spread(self._scale * bias + scale * self._centred + shift)

    def kernel_gradient(self, matrix: Tensor, offset: Tensor) -> _Pair:
        """Return the gradients of kernel and bias, as if s were 1."""
        return self._gather(matrix), offset.view(len(self._kernel), -1).sum(1)

    def to_weights(self, change: _Pair, kernel: _Pair, direction: Sequence[Tensor]) -> list[Tensor]:
        """Return the derivatives of the gradients of kernel, bias, γ and β."""
        moved, moved_bias = self.kernel_gradient(*change)
        gradient, bias_gradient = kernel
        weight, bias, scale, _ = self._named(direction)
        products = [moved * self._scale[:, None, None] + gradient * scale[:, None, None]]
        if self._has_bias:
            products.append(moved_bias * self._scale + bias_gradient * scale)
        if self._has_norm:
            of_scale = (moved * self._kernel + gradient * weight).sum((1, 2))
            of_scale += moved_bias * self._centred + bias_gradient * bias
            products += [of_scale * self._root, moved_bias]
        return products

    def second_derivative(self, kernel: _Pair, direction: Sequence[Tensor]) -> Tensor:
        """Return the terms of kernel and bias times s."""
        weight, bias, scale, _ = self._named(direction)
        of_scale = (kernel[0] * weight).sum((1, 2)) + kernel[1] * bias
        return 2 * (of_scale * scale).sum()

    def _named(self, direction: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The parts of a direction: of w, c, s and β."""
        parts = list(direction)
        kernel = parts.pop(0).flatten(2)
        bias = parts.pop(0) if self._has_bias else self._zeros
        scale, shift = parts if self._has_norm else (self._zeros, self._zeros)
        return kernel, bias, scale * self._root, shift

    def _place(self, kernel: Tensor) -> Tensor:
        """The dense matrix of a kernel, shape (output channels, input channels, taps)."""
        out_channels, in_channels, _ = kernel.shape
        dense = kernel.flatten(0, 1) @ self._taps
        dense = dense.view(out_channels, in_channels, *self._pixels).permute(1, 2, 0, 3)
        return dense.reshape(in_channels * self._pixels[0], out_channels * self._pixels[1])

    def _gather(self, matrix: Tensor) -> Tensor:
        """The adjoint of `_place`: the sum of the entries that share a weight of the kernel."""
        out_channels, in_channels, _ = self._kernel.shape
        dense = matrix.view(in_channels, self._pixels[0], out_channels, self._pixels[1])
        dense = dense.permute(2, 0, 1, 3).reshape(out_channels * in_channels, -1)
        return (dense @ self._taps.T).view_as(self._kernel)

    def _spread(self, channels: Tensor) -> Tensor:
        """One value per output from one per channel."""
        return channels[:, None].expand(-1, self._pixels[1]).flatten()


def _convolve(module: nn.Conv2d, images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve with other kernels at the stride, padding and dilation of a module."""
    return F.conv2d(images, kernels, None, module.stride, module.padding, module.dilation)
