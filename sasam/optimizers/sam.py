"""Sharpness-aware minimization.

    w_{t+1} = w_t - eta * g(w_t + rho * g(w_t) / ||g(w_t)||),    rho = sqrt(eta)

Source: Foret et al. 2021 (arXiv 2010.01412), eq. (2) of Naganuma et al. 2024. rho = sqrt(eta)
follows Andriushchenko & Flammarion 2022, Theorem 2, as the latter do; Foret et al. fix rho = 0.05
and use momentum 0.9.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from sasam.optimizers import _foreach as foreach
from sasam.optimizers._groups import Group, Introspection, Rho, ascend, descend, gradients, radius
from sasam.optimizers._passes import Closure, Passes
from sasam.optimizers._validation import checked_group, checked_model

__all__ = ["SAM"]


class SAM(Introspection, Optimizer):
    """Gradient descent with the gradient at the worst point nearby; two gradients a step.

    Args:
        params: Parameters or parameter groups; a group may set its own `lr`, `rho`, `momentum` and
            `weight_decay`. The gradient's norm is global.
        lr: Step size eta, > 0.
        rho: Perturbation radius, "sqrt-lr" for sqrt(lr) or a number >= 0.
        momentum: Heavy-ball momentum in [0, 1), as in `torch.optim.SGD`.
        weight_decay: lambda >= 0; lambda * w_t is added to the perturbed gradient.
        model: The module trained. Given, its buffers (BatchNorm statistics) end each step as the
            pass at w_t left them, and a skipped step as it found them; without it, the perturbed
            pass counts as well, and so do the passes of a skipped step.

    A step never waits for the device. A gradient that is not finite leaves weights, momentum and
    the buffers of `model` as they were (`skipped_steps`).

    Example:
        >>> import torch
        >>> from sasam import SAM
        >>> _ = torch.manual_seed(0)
        >>> inputs, targets = torch.randn(32, 3), torch.randn(32, 1)
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = SAM(model.parameters(), lr=0.05, rho=0.05, model=model)
        >>> def closure() -> torch.Tensor:
        ...     optimizer.zero_grad()
        ...     loss = torch.nn.functional.mse_loss(model(inputs), targets)
        ...     loss.backward()
        ...     return loss
        >>> losses = [float(optimizer.step(closure)) for _ in range(20)]
        >>> losses[-1] < losses[0]
        True
        >>> optimizer.gradient_evaluations
        40
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        rho: Rho = "sqrt-lr",
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        model: nn.Module | None = None,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.param_groups[0].update(gradient_evaluations=0, skipped_steps=0)
        self._model = checked_model(model)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group; see `torch.optim.Optimizer.add_param_group`."""
        super().add_param_group(checked_group(param_group, self.defaults))

    def state_dict(self) -> dict[str, Any]:
        """The state, with the count of skipped steps read from the device."""
        self.param_groups[0]["skipped_steps"] = self.skipped_steps
        return super().state_dict()

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Closure | None = None, *, grad_scaler: GradScaler | None = None
    ) -> Tensor:
        """Take one step; see `SASAM.step`. The closure is called twice."""
        first = self.param_groups[0]
        with Passes(self, closure, self._model, grad_scaler) as passes:
            loss = passes.evaluate()
            gradient = foreach.norm([g for group in self.param_groups for g in gradients(group)[1]])
            with foreach.restored(passes.params):
                radii = [radius(group, group["lr"]) for group in self.param_groups]
                ascend(self.param_groups, radii, gradient)
                passes.evaluate()
        ascended = foreach.norm([g for group in self.param_groups for g in gradients(group)[1]])
        is_skipped = ~torch.isfinite(gradient + ascended)
        passes.undo_buffers_where(is_skipped)
        skip = is_skipped.float()
        first["skipped_steps"] = skip + first["skipped_steps"]
        for group in self.param_groups:
            descend(group, group["lr"], self._momentum_buffers(group), skip)
        return loss

    def _momentum_buffers(self, group: Group) -> list[Tensor] | None:
        """The group's buffers, zero at first: 0 * momentum + g is the first step of SGD."""
        if group["momentum"] == 0.0:
            return None
        params, _ = gradients(group)
        fresh = [p for p in params if "momentum_buffer" not in self.state[p]]
        if fresh:
            zeros = foreach.clone(fresh)
            torch._foreach_zero_(zeros)
            for p, buffer in zip(fresh, zeros, strict=True):
                self.state[p]["momentum_buffer"] = buffer
        return [self.state[p]["momentum_buffer"] for p in params]
