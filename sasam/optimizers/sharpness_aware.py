"""Sharpness-aware minimization around any optimizer.

    g   = grad L(w)                 first pass
    g'  = grad L(w + e)             second pass; e is the method's perturbation, from g and w
    the base optimizer makes its step at w with the method's combination of g and g'

The methods are in `sasam.optimizers.perturbations`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from sasam.optimizers import _foreach as foreach
from sasam.optimizers._groups import Introspection, gradients
from sasam.optimizers._passes import Closure, Passes
from sasam.optimizers._validation import checked_model
from sasam.optimizers.perturbations import Moment, Perturbation

__all__ = ["SharpnessAware"]


class SharpnessAware(Introspection, Optimizer):
    """Gives a base optimizer the gradient of a method of SAM's line.

    Args:
        base: The optimizer that makes the steps. Its ``step`` must not need a closure. This
            optimizer has the same parameter groups, so a scheduler can change either's.
        perturbation: The method.
        model: The module trained. Given, its buffers (BatchNorm statistics) end each step as the
            pass at w left them; without it, the perturbed pass counts as well.

    A step waits for the device once. A gradient that is not finite leaves weights and state as they
    were (`skipped_steps`).

    Example:
        >>> import torch
        >>> from sasam.optimizers import ASAM, SharpnessAware
        >>> _ = torch.manual_seed(0)
        >>> inputs, targets = torch.randn(32, 3), torch.randn(32, 1)
        >>> model = torch.nn.Linear(3, 1)
        >>> base = torch.optim.AdamW(model.parameters(), lr=0.05)
        >>> optimizer = SharpnessAware(base, ASAM(rho=0.1), model=model)
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
        self, base: Optimizer, perturbation: Perturbation, *, model: nn.Module | None = None
    ) -> None:
        super().__init__(base.param_groups, {})
        self.base = base
        self.param_groups = base.param_groups
        self._perturbation = perturbation
        self._model = checked_model(model)
        first = self.param_groups[0]
        first.update(gradient_evaluations=0, skipped_steps=0, perturbed_steps=0)
        first["rate_at_start"] = float(first["lr"])

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Closure | None = None, *, grad_scaler: GradScaler | None = None
    ) -> Tensor:
        """Take one step; see `SASAM.step`. The closure is called once or twice."""
        first = self.param_groups[0]
        with Passes(self, closure, self._model, grad_scaler) as passes:
            loss = passes.evaluate()
            params = [p for group in self.param_groups for p in gradients(group)[0]]
            gradient = foreach.clone(_gradients_of(params))
            moment = Moment(
                number=first["perturbed_steps"],
                rate=float(first["lr"]),
                schedule=float(first["lr"]) / first["rate_at_start"],
                memory=[self.state[p] for p in params],
            )
            shift = self._perturbation.shift(params, gradient, moment)
            perturbed = None
            if shift is not None:
                with foreach.restored(params):
                    torch._foreach_add_(params, shift)
                    passes.evaluate()
                    perturbed = _gradients_of(params)
            combined = self._perturbation.combine(gradient, perturbed, moment)
        if bool(torch.isfinite(foreach.norm(gradient) + foreach.norm(combined))):
            moment.keep()
            for p, direction in zip(params, combined, strict=True):
                p.grad = direction
            self.base.step()
        else:
            first["skipped_steps"] += 1
            passes.undo_buffers()
        first["perturbed_steps"] += 1
        return loss

    @property
    def perturbation_radius(self) -> float:
        """The radius rho of the last step."""
        first = self.param_groups[0]
        rate = float(first["lr"])
        return self._perturbation.radius(rate, rate / first["rate_at_start"])

    def state_dict(self) -> dict[str, Any]:
        """The state of the method and, under ``base``, that of the base optimizer."""
        return super().state_dict() | {"base": self.base.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state; see `torch.optim.Optimizer.load_state_dict`.

        Raises:
            ValueError: The state is of another optimizer, or its groups are other ones.
        """
        if "base" not in state_dict:
            raise ValueError(
                "state_dict is not of SharpnessAware: it has no base, only "
                f"{', '.join(sorted(state_dict))}"
            )
        own = {name: value for name, value in state_dict.items() if name != "base"}
        super().load_state_dict(own)
        self.base.load_state_dict(state_dict["base"])
        self.param_groups = self.base.param_groups


def _gradients_of(params: list[Tensor]) -> list[Tensor]:
    """The gradients; zero where a pass left none."""
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
