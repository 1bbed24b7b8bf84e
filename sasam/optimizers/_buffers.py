"""The buffers of a model at one moment: BatchNorm statistics, counters, vectors of a spectral norm.

A forward pass changes a buffer in place, as BatchNorm does, or assigns another tensor under its
name. So a state holds which tensor each module had as well as the tensors' values.
"""

from __future__ import annotations

from torch import Tensor, nn

from sasam.optimizers import _foreach as foreach

__all__ = ["Buffers"]


class Buffers:
    """The buffers of a model now, to be restored bit for bit.

    Args:
        model: The model, its non-persistent buffers included; None has no buffers.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self._model = model
        self._owners = [(module, dict(module._buffers)) for module in _modules(model)]
        self._tensors = _tensors(model)
        self._values = foreach.clone(self._tensors)

    def restore(self) -> None:
        """Give every module the tensors it had, with the values they had."""
        for module, buffers in self._owners:
            module._buffers.update(buffers)
        foreach.copy_(self._tensors, self._values)

    def restore_where(self, condition: Tensor) -> None:
        """Restore where a 0-dimensional bool is true; waits for it only if a shape has changed."""
        present = _tensors(self._model)
        if [_kind(tensor) for tensor in present] == [_kind(tensor) for tensor in self._tensors]:
            foreach.choose_(present, condition, self._values)
        elif bool(condition):
            self.restore()


def _modules(model: nn.Module | None) -> list[nn.Module]:
    """The modules that have buffers."""
    return [] if model is None else [module for module in model.modules() if module._buffers]


def _tensors(model: nn.Module | None) -> list[Tensor]:
    """The buffers that are tensors at present, each once."""
    held = [tensor for module in _modules(model) for tensor in module._buffers.values()]
    return list(dict.fromkeys(tensor for tensor in held if tensor is not None))


def _kind(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype, tensor.device
