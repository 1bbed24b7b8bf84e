"""Which networks can have the channels last in memory.

On a CPU, oneDNN computes the weight gradient of a 1 x 1 convolution with a stride above 1 wrongly
when the channels are last and there are fewer of them than a vector register holds: it writes past
a buffer, which corrupts other values or ends the process (oneDNN issue 6035, present in torch
2.14). RepVGG and FastViT begin with such a convolution of the image.
"""

from __future__ import annotations

import torch
from torch import nn

from workers.spec import TrainingSpec

__all__ = ["uses_channels_last"]

_VECTOR_CHANNELS = 16
"""Floats in the widest vector register of a CPU (AVX-512)."""


def uses_channels_last(training: TrainingSpec, model: nn.Module, device: torch.device) -> bool:
    """Whether a trial has the channels last: as requested, unless gradients would be wrong.

    Args:
        training: Training section of the trial.
        model: The network.
        device: Where it is trained.
    """
    is_right = device.type != "cpu" or not any(map(_is_miscomputed, model.modules()))
    return training.channels_last and is_right


def _is_miscomputed(module: nn.Module) -> bool:
    """Whether oneDNN computes a wrong weight gradient for this layer with the channels last."""
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels < _VECTOR_CHANNELS
    )
