"""Networks of the package timm, with fresh weights."""

from __future__ import annotations

import difflib
from typing import Any

import timm
from torch import nn

__all__ = ["build"]

# Each of these loads weights or code that a specification does not record.
_REFUSED = (
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
)


def build(
    name: str, *, num_classes: int, in_channels: int, image_size: int, **kwargs: Any
) -> nn.Module:
    """Build the timm network ``name`` for images of the given size.

    Args:
        name: A name of ``timm.list_models()``.
        num_classes: Length of the output.
        in_channels: Channels of the images.
        image_size: Height and width of the images; passed to models with a fixed image size.
        **kwargs: Arguments of ``timm.create_model``.

    Raises:
        ValueError: timm has no such model, or the model does not accept a keyword.
    """
    refused = [key for key in _REFUSED if key in kwargs]
    if refused:
        raise ValueError(
            f"{refused[0]} of timm:{name} is not allowed: trials draw their initial weights by seed"
        )
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        guess = f"; did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"timm {timm.__version__} has no model {name!r}{guess}")
    options = {"num_classes": num_classes, "in_chans": in_channels, **kwargs}
    try:
        try:
            return _create(name, options | {"img_size": options.get("img_size", image_size)})
        except TypeError as error:
            # Models for any image size have no such argument.
            if "img_size" not in str(error) or "img_size" in options:
                raise
            return _create(name, options)
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"timm:{name} does not take {options}: {error}") from error


def _create(name: str, options: dict[str, Any]) -> nn.Module:
    """Create a timm model without pretrained weights."""
    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model
