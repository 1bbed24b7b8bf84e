"""Updates of parameter groups, and the properties that report on an optimizer's last step.

The first group also carries the state of the whole optimizer (counters, step size), so that
`state_dict` saves it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from sasam.optimizers import _foreach as foreach

__all__ = [
    "EPSILON",
    "Group",
    "Introspection",
    "Rho",
    "ascend",
    "descend",
    "gradients",
    "radius",
    "schedule",
]

Group = dict[str, Any]
Rho = float | Literal["sqrt-lr"]

EPSILON = 1e-12
"""Added to a gradient's norm before the division, as in the reference code of Foret et al. 2021."""


_COUNTERS = {"gradient_evaluations", "skipped_steps"}


class Introspection:
    """What a training loop may log; nothing here waits for the device unless it is read."""

    param_groups: list[Group]
    defaults: dict[str, Any]
    _model: nn.Module | None = None  # survives neither pickle nor deepcopy, as hooks do not

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; see `torch.optim.Optimizer.load_state_dict`.

        Raises:
            ValueError: The state is of another optimizer, or its groups are other ones.
        """
        for index, (group, saved) in enumerate(
            zip(self.param_groups, state_dict["param_groups"], strict=False)
        ):
            expected = self.defaults.keys() | (group.keys() & _COUNTERS)
            if missing := sorted(expected - saved.keys()):
                raise ValueError(
                    f"state_dict is not of {type(self).__name__}: its parameter group {index} has "
                    f"no {', '.join(missing)}, only {', '.join(sorted(saved))}"
                )
        super().load_state_dict(state_dict)  # type: ignore[misc]

    @property
    def step_size(self) -> float:
        """The step size of the last step, before the first one the one it will start from."""
        first = self.param_groups[0]
        return float(first["eta"] * schedule(first, first) if "eta" in first else first["lr"])

    @property
    def perturbation_radius(self) -> float:
        """The radius rho of the last step; 0 for a method that does not perturb."""
        first = self.param_groups[0]
        return float(first.get("radius", radius(first, self.step_size)))

    @property
    def smoothness(self) -> float | None:
        """The last estimate ||g_t - g_{t-1}|| / ||w_t - w_{t-1}||; None if there is none."""
        estimate = self.param_groups[0].get("smoothness")
        return None if estimate is None else float(estimate)

    @property
    def gradient_evaluations(self) -> int:
        """Closure calls so far, those of skipped steps included."""
        return int(self.param_groups[0]["gradient_evaluations"])

    @property
    def skipped_steps(self) -> int:
        """Steps that changed nothing because a gradient or a norm was not finite."""
        return int(self.param_groups[0]["skipped_steps"])


def gradients(group: Group) -> tuple[list[Tensor], list[Tensor]]:
    """The group's parameters that have a gradient, and their gradients."""
    params = [p for p in group["params"] if p.requires_grad and p.grad is not None]
    return params, [p.grad for p in params]


def radius(group: Group, step_size: Any) -> Any:
    """The radius: sqrt(step size) or the group's number; a tensor's radius is a tensor."""
    rho = group.get("rho", 0.0)
    return step_size**0.5 if rho == "sqrt-lr" else rho


def schedule(first: Group, group: Group) -> float:
    """What a change of `lr`, a scheduler's or a group's own, multiplies eta_t with."""
    return float(group["lr"] / first["eta_0"])


def ascend(groups: list[Group], radii: list[Any], gradient_norm: Tensor) -> None:
    """Climb, w <- w + rho * g / ||g||, the norm being global; uses up the gradients."""
    for group, rho in zip(groups, radii, strict=True):
        params, grads = gradients(group)
        foreach.add_scaled_(params, grads, rho / (gradient_norm + EPSILON))


def descend(
    group: Group,
    step_size: float,
    momentum_buffers: list[Tensor] | None = None,
    found_inf: Tensor | None = None,
) -> None:
    """Descend, w <- w - eta * (g + lambda * w), with momentum if there are buffers.

    The fused operator alone can skip an update on the device: where `found_inf` is not 0, weights
    and momentum stay, and no host had to wait for the decision. It leaves the gradients alone.
    """
    params, grads = gradients(group)
    for part in foreach.alike(params, grads, *([momentum_buffers] if momentum_buffers else [])):
        torch._fused_sgd_(
            part[0],
            part[1],
            part[2] if momentum_buffers else [],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"] if momentum_buffers else 0.0,
            lr=step_size,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
            found_inf=None if found_inf is None else found_inf.to(part[0][0].device),
        )
