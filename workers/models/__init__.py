"""Networks that a specification can name: ``build_model`` and ``count_parameters``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from workers.catalog import models
from workers.models.memory_format import uses_channels_last
from workers.spec import ModelSpec

__all__ = ["build_model", "count_parameters", "uses_channels_last"]

_REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError)
"""What a network raises whose arguments have the wrong type or go beyond what PyTorch can hold."""


def build_model(
    spec: ModelSpec,
    *,
    files: Mapping[str, str] = MappingProxyType({}),
    **inputs: int,
) -> nn.Module:
    """Build a network with fresh weights, drawn from PyTorch's global generator.

    The factory of a name is called with ``inputs`` and the ``kwargs`` of the specification; that of
    a family such as ``timm:`` gets the rest of the name first.

    Args:
        spec: Name and keyword arguments.
        files: Sources of the specification, for a model of the user's own.
        **inputs: What depends on the data, see `workers.example_inputs`: ``num_classes``, and
            ``in_channels`` and ``image_size`` for images, ``context`` for text.

    Raises:
        ValueError: The model does not exist, or does not accept a keyword, its value, or the size
            of the images.
    """
    factory = models.load(spec.name, files)
    is_member = models.entry(spec.name).name.endswith(":")
    try:
        model: nn.Module = factory(
            *([spec.name.partition(":")[2]] if is_member else []),
            **inputs,
            **spec.kwargs,
        )
    except _REFUSALS as error:
        raise ValueError(f"model {spec.name} does not take {spec.kwargs}: {error}") from error
    return model


def count_parameters(model: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
