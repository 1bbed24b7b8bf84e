"""Parameter groups of a network: what weight decay leaves out, and what Muon orthogonalises."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["hidden_matrices", "parameter_groups"]

Group = dict[str, Any]


def parameter_groups(
    parameters: list[nn.Parameter], *, exempt_vectors: bool, **options: Any
) -> list[Group]:
    """Groups of parameters for an optimizer.

    Args:
        parameters: The parameters.
        exempt_vectors: Set the weight decay of biases and normalisation layers to 0: of all
            parameters with fewer than two dimensions, as timm and most training recipes do.
        options: Options of every group.

    Returns:
        One group, or two; none without parameters.
    """
    if not exempt_vectors:
        return [{"params": parameters, **options}] if parameters else []
    vectors = [p for p in parameters if p.ndim < 2]
    return [
        *parameter_groups([p for p in parameters if p.ndim >= 2], exempt_vectors=False, **options),
        *parameter_groups(vectors, exempt_vectors=False, **options, weight_decay=0.0),
    ]


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights that Muon is for: matrices and kernels between the first and the last layer.

    Source: the README of https://github.com/KellerJordan/Muon: the first convolution or embedding,
    the classifier, gains and biases belong to AdamW.

    Raises:
        ValueError: The network has no such weight.
    """
    weights = [p for name, p in model.named_parameters() if name.endswith("weight") and p.ndim > 1]
    if len(weights) < 3:
        raise ValueError(
            "Muon is for the weights between the first and the last layer, and the network has "
            f"{len(weights)} layers with matrices or kernels"
        )
    return weights[1:-1]
