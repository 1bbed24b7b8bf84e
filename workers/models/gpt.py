"""``gpt``: a small decoder-only transformer for text (Radford et al. 2019, GPT-2).

    x = embedding[tokens] + positions
    x = x + attention(norm(x)), x = x + mlp(norm(x))      ``depth`` times, pre-norm
    logits = norm(x) embeddingᵀ                           tied weights (Press & Wolf 2017)

A token attends to itself and to earlier ones. Attention is written in matrix products and a
softmax, which torch can differentiate twice on every device: fused kernels cannot, and Hessians
need it. Weights are drawn as in GPT-2: deviation 0.02, of the layers that write into the residual
stream 0.02 / sqrt(2 depth). Departure: linear layers have no bias.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GPT", "gpt"]

_DEVIATION = 0.02  # GPT-2


class GPT(nn.Module):
    """The transformer; `gpt` documents the arguments."""

    def __init__(
        self, *, num_classes: int, context: int, width: int, depth: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(num_classes, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(_Block(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                into_stream = name.endswith(("project.weight", "contract.weight"))
                scale = 1 / math.sqrt(2 * depth) if into_stream else 1.0
                nn.init.normal_(parameter, std=_DEVIATION * scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next tokens.

        Args:
            tokens: int64, shape (n, length), length at most ``context``.

        Returns:
            Shape (n, num_classes, length), as the cross-entropy of torch takes it.
        """
        x = self.dropout(self.embedding(tokens) + self.positions[: tokens.shape[1]])
        encoded: Tensor = self.norm(self.blocks(x))
        return F.linear(encoded, self.embedding.weight).transpose(1, 2)


def gpt(
    *,
    num_classes: int,
    context: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.0,
) -> GPT:
    """Build the transformer: 107,136 weights for 64 tokens and a context of 64 with the defaults.

    Args:
        num_classes: Number of tokens.
        context: Largest number of tokens of a text.
        width: Length of the vector of a token, a multiple of ``heads``.
        depth: Number of blocks.
        heads: Heads of the attention.
        dropout: Share of values dropped after the embedding and in the blocks, in [0, 1).

    Raises:
        ValueError: A value is out of range.
    """
    sizes = {"width": width, "depth": depth, "heads": heads, "context": context}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, got width {width} and heads {heads}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    return GPT(num_classes=num_classes, dropout=dropout, **sizes)


class _Block(nn.Module):
    """Attention and two dense layers, each with normalised input and a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _Attention(width, heads, dropout)
        self.mlp_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width, bias=False)
        self.contract = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        hidden = F.gelu(self.expand(self.mlp_norm(x)))
        result: Tensor = x + self.dropout(self.contract(hidden))
        return result


class _Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        qkv = self.to_qkv(x).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = (q @ k.mT / math.sqrt(width // self.heads)).masked_fill(later, -math.inf)
        mixed = self.dropout(weights.softmax(-1)) @ v
        result: Tensor = self.dropout(self.project(mixed.transpose(1, 2).reshape(n, length, width)))
        return result
