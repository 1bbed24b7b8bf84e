"""The gradient evaluations of one step.

A sharpness- or smoothness-aware step compares gradients of *one* function, w -> L(w; batch), at two
or three points. So every pass starts from the random state and the buffers (BatchNorm statistics)
that the step found: dropout draws the same masks, and the step leaves both as the first pass, the
one at w_t, left them. A step that is skipped, or whose closure raises, leaves the buffers as it
found them, for a batch that gave NaN has put NaN into the statistics as well; the random state
still moves on, so that the next step draws other masks. Python's and numpy's generators are not
replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace, TracebackType
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from sasam.optimizers._buffers import Buffers

__all__ = ["Closure", "Passes"]

Closure = Callable[[], Tensor]


class Passes:
    """The passes of one step; leaving the context puts random state and buffers where they belong.

    The caller says with `undo_buffers` or `undo_buffers_where` that it skips the step.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        closure: Closure | None,
        model: nn.Module | None,
        grad_scaler: GradScaler | None,
    ) -> None:
        if not callable(closure):
            raise ValueError(  # noqa: TRY004  # documented as one error for whatever is no closure
                f"step() needs a closure that clears the gradients, computes the loss, calls "
                f"backward() and returns the loss, got {closure!r}"
            )
        self._closure = closure
        self._groups = optimizer.param_groups
        self._grad_scaler = grad_scaler
        self._unscaled: list[SimpleNamespace] = []
        self.params = [p for group in self._groups for p in group["params"] if p.requires_grad]
        self._model = model
        self._found: _World | None = None
        self._left: _World | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._left is not None:
            self._left.restore()
        if error is not None:
            self.undo_buffers()

    def undo_buffers(self) -> None:
        """Put the buffers back as the step found them."""
        if self._found is not None:
            self._found.buffers.restore()

    def undo_buffers_where(self, skip: Tensor) -> None:
        """Put the buffers back where `skip`, a 0-dimensional bool, is true, without reading it."""
        if self._found is not None:
            self._found.buffers.restore_where(skip)

    def evaluate(self) -> Tensor:
        """Leave the gradients at the present weights in `p.grad`, and return the loss there."""
        if self._found is None:
            self._found = _World(self.params, self._model)
        else:
            if self._left is None:
                self._left = _World(self.params, self._model)
            self._found.restore()
        # An autocast context around the whole step would hand out casts of the former weights.
        torch.clear_autocast_cache()
        with torch.enable_grad():
            loss = self._closure()
        self._groups[0]["gradient_evaluations"] += 1
        _check_loss(loss)
        _check_gradients(self.params)
        if self._grad_scaler is not None:
            self._unscale(self._grad_scaler)
        return loss.detach()

    def _unscale(self, grad_scaler: GradScaler) -> None:
        """Unscale as a separate optimizer: a scaler does so once for each between its updates."""
        self._unscaled.append(SimpleNamespace(param_groups=self._groups))
        grad_scaler.unscale_(cast(Optimizer, self._unscaled[-1]))


class _World:
    """What a pass reads and changes besides weights and gradients: random states and buffers."""

    def __init__(self, params: Iterable[Tensor], model: nn.Module | None) -> None:
        devices = dict.fromkeys(p.device for p in params if p.device.type == "cuda")
        self._random_state = torch.get_rng_state()
        self._device_states = {device: torch.cuda.get_rng_state(device) for device in devices}
        self.buffers = Buffers(model)

    def restore(self) -> None:
        torch.set_rng_state(self._random_state)
        for device, state in self._device_states.items():
            torch.cuda.set_rng_state(state, device)
        self.buffers.restore()


def _check_loss(loss: object) -> None:
    if not isinstance(loss, Tensor):
        raise RuntimeError(  # noqa: TRY004  # a fault of the step, not of an argument's type
            f"closure must return the loss as a tensor, got {type(loss).__name__}: {loss!r}"
        )
    if loss.numel() != 1:
        raise RuntimeError(
            f"closure must return a scalar loss, got a tensor of shape {tuple(loss.shape)}"
        )


def _check_gradients(params: list[Tensor]) -> None:
    """Refuse what the rules are not defined for; lay gradients out in memory as their weights."""
    missing = True
    for p in params:
        if (grad := p.grad) is None:
            continue
        missing = False
        if grad.layout != torch.strided:
            raise RuntimeError(
                f"gradients must be dense, got layout {grad.layout} for a parameter of shape "
                f"{tuple(p.shape)}; use sparse=False in its layer"
            )
        if grad.stride() != p.stride():
            p.grad = torch.empty_like(p).copy_(grad)  # fused kernels walk both as flat memory
    if missing:
        raise RuntimeError(
            "closure left every gradient None; it must call backward() on a loss that depends on "
            "the optimizer's parameters"
        )
