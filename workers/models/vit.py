"""A vision transformer for small data sets (Lee, Lee & Song 2021, arXiv 2112.13492).

    shifted patch tokenisation    each patch includes those of four shifted copies of the image
    locality self-attention       softmax(exp(t) q kᵀ) with a learned t; no token attends to itself

As in the network that the authors of SA-SAM trained, the copies are shifted by one pixel along the
axes, whereas the paper shifts them by half a patch along the diagonals.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ViTSmall", "vit_small"]

_SHIFTS = ((0, 0, 0, 0), (1, -1, 0, 0), (-1, 1, 0, 0), (0, 0, 1, -1), (0, 0, -1, 1))


class ViTSmall(nn.Module):
    """The vision transformer; `vit_small` documents the arguments."""

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        image_size: int,
        patch_size: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        tokens = (image_size // patch_size) ** 2 + 1
        patch_values = patch_size**2 * in_channels * len(_SHIFTS)
        self.patch_size = patch_size
        self.embed = nn.Sequential(nn.LayerNorm(patch_values), nn.Linear(patch_values, dim))
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, tokens, dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(_Block(dim, heads, mlp_dim, dropout) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (n, num_classes)."""
        shifted = torch.cat([F.pad(images, shift) for shift in _SHIFTS], dim=1)
        patches = F.unfold(shifted, self.patch_size, stride=self.patch_size).mT
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), self.embed(patches)], 1)
        encoded: Tensor = self.blocks(self.dropout(tokens + self.positions))
        logits: Tensor = self.head(encoded[:, 0])
        return logits


def vit_small(
    *,
    num_classes: int,
    in_channels: int,
    image_size: int,
    patch_size: int = 4,
    dim: int = 512,
    depth: int = 6,
    heads: int = 8,
    mlp_dim: int = 512,
    dropout: float = 0.1,
) -> ViTSmall:
    """Build the transformer: 9,622,512 weights for CIFAR-10 with the defaults.

    Args:
        num_classes: Length of the output.
        in_channels: Channels of the images.
        image_size: Height and width of the images, a multiple of ``patch_size``.
        patch_size: Height and width of a patch, in pixels.
        dim: Length of a token.
        depth: Number of blocks.
        heads: Heads of the attention, a divisor of ``dim``.
        mlp_dim: Hidden units of each block.
        dropout: Share of values dropped after the embedding and in the blocks, in [0, 1).

    Raises:
        ValueError: A value is out of range.
    """
    sizes = {
        "patch_size": patch_size,
        "dim": dim,
        "depth": depth,
        "heads": heads,
        "mlp_dim": mlp_dim,
    }
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if dim % heads:
        raise ValueError(f"dim must be a multiple of heads, got dim {dim} and heads {heads}")
    if image_size % patch_size:
        raise ValueError(
            f"vit-small takes images whose size is a multiple of patch_size {patch_size}, "
            f"got {image_size}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    return ViTSmall(
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
        dropout=dropout,
        **sizes,
    )


class _Block(nn.Module):
    """Attention and two dense layers, each with normalised input and a residual connection."""

    def __init__(self, dim: int, heads: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(dim), _Attention(dim, heads, dropout))
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(tokens)
        result: Tensor = tokens + self.mlp(tokens)
        return result


class _Attention(nn.Module):
    """Locality self-attention: learned temperature, no attention of a token to itself."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.log_temperature = nn.Parameter(torch.tensor(-0.5 * math.log(dim // heads)))
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.project = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(dropout))

    def forward(self, tokens: Tensor) -> Tensor:
        n, length, dim = tokens.shape
        qkv = self.to_qkv(tokens).view(n, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        others = ~torch.eye(length, dtype=torch.bool, device=tokens.device)
        mixed = F.scaled_dot_product_attention(
            q * self.log_temperature.exp().to(q.dtype),
            k,
            v,
            attn_mask=others,
            dropout_p=self.dropout if self.training else 0.0,
            scale=1.0,
        )
        result: Tensor = self.project(mixed.transpose(1, 2).reshape(n, length, dim))
        return result
