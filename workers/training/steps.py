"""Optimizer steps, and the metrics that they add up to in an epoch.

Every optimizer gets a closure that clears the gradients, computes the loss of the same mini-batch
at the present weights, and differentiates it. The optimizer decides how often to call it; the calls
are counted. Sums stay on the device, so that an epoch synchronizes with it once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

__all__ = ["Stepper"]


class Stepper:
    """Trains a network on mini-batches.

    Args:
        optimizer: The optimizer of the network.
        model: The network.
        predict: Maps images to logits: the network itself, compiled or under autocast.
        label_smoothing: Share of the target spread over all classes.
        gradient_clipping: Largest norm of a gradient; None does not clip.
        scale_gradients: Scale the loss so that half-precision gradients do not vanish.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        predict: Callable[[Tensor], Tensor],
        *,
        label_smoothing: float = 0.0,
        gradient_clipping: float | None = None,
        scale_gradients: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.gradient_evaluations = 0
        """Closure calls so far."""
        self._parameters = list(model.parameters())
        self._predict = predict
        self._label_smoothing = label_smoothing
        self._gradient_clipping = gradient_clipping
        device = self._parameters[0].device
        self._scaler = torch.amp.GradScaler(device.type) if scale_gradients else None
        self._skipped_steps = torch.zeros((), dtype=torch.float64, device=device)
        self._unscales_gradients = "grad_scaler" in inspect.signature(optimizer.step).parameters
        if self._scaler is not None and not self._unscales_gradients:
            optimizer.register_step_pre_hook(self._count_step)
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._images = 0

    def start_epoch(self) -> None:
        """Reset the sums of the previous epoch."""
        self._sums.zero_()
        self._images = 0

    def step(self, images: Tensor, labels: Tensor, *, learning_rate: float) -> None:
        """Make one step on a mini-batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self._images += len(labels)
        is_first_call = True

        def closure() -> Tensor:
            nonlocal is_first_call
            self.gradient_evaluations += 1
            self.optimizer.zero_grad()
            logits = self._predict(images).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
            if is_first_call:  # at the weights the step starts from
                is_first_call = False
                self._add(loss.detach(), logits.detach(), labels)
            scaled = loss if self._scaler is None else self._scaler.scale(loss)
            scaled.backward()  # type: ignore[no-untyped-call]
            if self._gradient_clipping is not None:
                scale = 1.0 if self._scaler is None else self._scaler.get_scale()
                nn.utils.clip_grad_norm_(self._parameters, self._gradient_clipping * scale)
            return loss

        step: Callable[..., Any] = self.optimizer.step
        if self._scaler is None:
            step(closure)
            return
        if self._unscales_gradients:
            step(closure, grad_scaler=self._scaler)
        else:
            closure()
            self._skipped_steps += 1  # until `_count_step` sees that the step is made
            self._scaler.step(self.optimizer)
        self._scaler.update()

    def finish_epoch(self) -> dict[str, float]:
        """Return the epoch's means and the optimizer's quantities; synchronize with the device."""
        loss, correct = (self._sums / self._images).tolist()
        record = {
            "train_loss": loss,
            "train_accuracy": correct,
            "step_size": _read(self.optimizer, "step_size", self.optimizer.param_groups[0]["lr"]),
            "gradient_evaluations": self.gradient_evaluations,
            "skipped_steps": _read(self.optimizer, "skipped_steps", int(self._skipped_steps)),
            "perturbation_radius": _read(self.optimizer, "perturbation_radius", None),
            "smoothness": _read(self.optimizer, "smoothness", None),
        }
        return {name: value for name, value in record.items() if value is not None}

    def state_dict(self) -> dict[str, Any]:
        """State for a resumed trial."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "gradient_evaluations": self.gradient_evaluations,
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "skipped_steps": int(self._skipped_steps),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.gradient_evaluations = state["gradient_evaluations"]
        self._skipped_steps.fill_(state.get("skipped_steps", 0))  # older checkpoints have none
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])

    def _count_step(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Subtract a step that the gradient scaler lets the optimizer make.

        The scaler does not call an optimizer for gradients that are not finite, except a fused one,
        which gets ``found_inf``, 1 for such gradients, and skips the step on the device.
        """
        found_inf: Tensor | None = getattr(optimizer, "found_inf", None)
        self._skipped_steps -= 1 if found_inf is None else 1 - found_inf

    def _add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a mini-batch to the sums of the epoch."""
        correct = (logits.argmax(1) == labels).sum()
        self._sums += torch.stack([loss * len(labels), correct])


def _read(optimizer: Optimizer, name: str, default: float | None) -> float | None:
    """A quantity that the optimizers of `sasam` have as an attribute; else the default."""
    value: float | None = getattr(optimizer, name, default)
    return value
