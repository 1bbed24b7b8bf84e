"""Optimizer steps, and the metrics that they add up to in an epoch.

Every optimizer gets a closure that clears the gradients, computes the loss of the same mini-batch
at the present weights, and differentiates it. The optimizer decides how often to call it; the calls
are counted. Sums stay on the device, so that an epoch synchronizes with it once.

A schedule multiplies the learning rate that each parameter group was built with, so that groups
keep their ratio. An optimizer whose attribute ``is_second_order`` is true gets gradients that can
be differentiated again, as in timm. One with methods ``train`` and ``eval``, such as Schedule-Free,
trains other weights than those to evaluate; `Stepper.train` and `Stepper.eval` switch between them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

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

    Raises:
        ValueError: The optimizer differentiates gradients, which must then not be scaled.
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
        self._initial_rates = [group.get("lr") for group in optimizer.param_groups]
        self._parameters = list(model.parameters())
        self._trained = [p for p in self._parameters if p.requires_grad]
        self._predict = predict
        self._label_smoothing = label_smoothing
        self._gradient_clipping = gradient_clipping
        device = self._parameters[0].device
        self._scaler = torch.amp.GradScaler(device.type) if scale_gradients else None
        self._skipped_steps = torch.zeros((), dtype=torch.float64, device=device)
        self._unscales_gradients = "grad_scaler" in inspect.signature(optimizer.step).parameters
        self._is_second_order = bool(getattr(optimizer, "is_second_order", False))
        if self._is_second_order and scale_gradients:
            raise ValueError(
                f"{type(optimizer).__name__} differentiates its gradients, which fp16 scales: "
                "training.precision must be fp32 or bf16"
            )
        if self._scaler is not None and not self._unscales_gradients:
            optimizer.register_step_pre_hook(self._count_step)
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._predictions = 0

    def start_epoch(self) -> None:
        """Reset the sums of the previous epoch."""
        self._sums.zero_()
        self._predictions = 0

    @property
    def averages_weights(self) -> bool:
        """Whether the weights to evaluate are other ones than those that are trained."""
        return hasattr(self.optimizer, "eval")

    @property
    def step_size(self) -> float | None:
        """Step size of the last step, of the first group; None if the optimizer has none."""
        return _read(self.optimizer, "step_size", self.optimizer.param_groups[0].get("lr"))

    def train(self) -> None:
        """Switch to the weights that the optimizer trains."""
        if hasattr(self.optimizer, "train"):
            self.optimizer.train()

    def eval(self) -> None:
        """Switch to the weights to evaluate and to keep."""
        if hasattr(self.optimizer, "eval"):
            self.optimizer.eval()

    def step(self, images: Tensor, labels: Tensor, *, factor: float) -> None:
        """Make one step on a mini-batch.

        Args:
            images: Images, shape (n, channels, height, width), or tokens, shape (n, context).
            labels: Classes, shape (n,), or next tokens, shape (n, context).
            factor: Factor of the schedule, which multiplies every group's initial learning rate.
        """
        for group, rate in zip(self.optimizer.param_groups, self._initial_rates, strict=True):
            if rate is not None:
                group["lr"] = factor * rate
        self._predictions += labels.numel()
        is_first_call = True

        def closure(scale: float | None = None) -> Tensor:
            nonlocal is_first_call
            self.gradient_evaluations += 1
            self.optimizer.zero_grad()
            logits = self._predict(images).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
            if is_first_call:  # at the weights the step starts from
                is_first_call = False
                self._add(loss.detach(), logits.detach(), labels)
            self._differentiate(loss, scale)
            return loss

        step: Callable[..., Any] = self.optimizer.step
        if self._scaler is None:
            step(closure)
            return
        lowered: list[float] = []
        if self._unscales_gradients:
            step(closure, grad_scaler=self._scaler)
        else:
            loss = closure()
            self._skipped_steps += 1  # until `_count_step` sees that the step is made
            if getattr(self.optimizer, "_step_supports_amp_scaling", False):  # fused kernels
                self._scaler.step(self.optimizer)
            else:
                again = self._unscaled_passes(loss, closure, lowered)
                self._scaler.step(cast(Optimizer, _WithClosure(self.optimizer, again)))
        self._scaler.update(*lowered)

    def finish_epoch(self) -> dict[str, float]:
        """Return the epoch's means and the optimizer's quantities; synchronize with the device."""
        loss, correct = (self._sums / self._predictions).tolist()
        record = {
            "train_loss": loss,
            "train_accuracy": correct,
            "step_size": self.step_size,
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

    def _differentiate(self, loss: Tensor, scale: float | None) -> None:
        """Compute the gradients, scaled by the scaler or by ``scale`` and clipped."""
        scaled = loss
        if self._scaler is not None:
            scaled = self._scaler.scale(loss) if scale is None else loss * scale
        if self._is_second_order:  # backward(create_graph=True) would leave a reference cycle
            found = torch.autograd.grad(scaled, self._trained, create_graph=True, allow_unused=True)
            for parameter, gradient in zip(self._trained, found, strict=True):
                parameter.grad = gradient
        else:
            scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if self._gradient_clipping is not None:
            if scale is None:
                scale = 1.0 if self._scaler is None else self._scaler.get_scale()
            nn.utils.clip_grad_norm_(self._parameters, self._gradient_clipping * scale)

    def _unscaled_passes(
        self, loss: Tensor, closure: Callable[[float], Tensor], lowered: list[float]
    ) -> Callable[[], Tensor]:
        """The closure of a step whose first pass the gradient scaler has unscaled and checked.

        The first call returns that pass. A later one, at other weights, is repeated at half the
        scale while it overflows; the scaler continues with the last scale, left in ``lowered``.
        """
        scaler, is_first_call = self._scaler, True

        def again() -> Tensor:
            nonlocal is_first_call
            if is_first_call or scaler is None:
                is_first_call = False
                return loss
            scale = lowered[0] if lowered else scaler.get_scale()
            while True:
                latest = closure(scale)
                gradients = [p.grad for p in self._trained if p.grad is not None]
                torch._foreach_div_(gradients, scale)
                if scale <= 1.0 or all(bool(g.isfinite().all()) for g in gradients):
                    return latest
                scale /= 2.0
                lowered[:] = [scale]

        return again

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
        self._sums += torch.stack([loss * labels.numel(), correct])


class _WithClosure:
    """An optimizer with its closure, as a gradient scaler calls ``step`` without one."""

    def __init__(self, optimizer: Optimizer, closure: Callable[[], Tensor]) -> None:
        self.param_groups = optimizer.param_groups
        self.step = partial(optimizer.step, closure)


def _read(optimizer: Optimizer, name: str, default: float | None) -> float | None:
    """A quantity that the optimizers of `sasam` have as an attribute; else the default."""
    value: float | None = getattr(optimizer, name, default)
    return value
