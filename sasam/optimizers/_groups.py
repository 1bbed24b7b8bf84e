"""What the optimizers share about parameter groups: checks, radius, descent, introspection.

The first group also carries what belongs to the whole optimizer (counters, step size), so that
`state_dict` saves it without further ado.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sasam.optimizers import _flat as flat

__all__ = [
    "EPSILON",
    "Group",
    "Introspection",
    "Rho",
    "ascend",
    "checked_group",
    "checked_model",
    "checked_number",
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
        flat.add_scaled_(params, grads, rho / (gradient_norm + EPSILON))


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
    for part in flat.alike(params, grads, *([momentum_buffers] if momentum_buffers else [])):
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


def checked_group(group: Group, defaults: Group, shared: tuple[str, ...] = ()) -> Group:
    """The group with a list of parameters, or a ValueError that names what is wrong with it."""
    params = group["params"]
    group = {**group, "params": [params] if isinstance(params, Tensor) else list(params)}
    tensors = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
    if not tensors:
        raise ValueError("a parameter group must hold at least one parameter, got none")
    if len(set(tensors)) < len(tensors):
        raise ValueError(
            f"a parameter group must hold each parameter once, got {len(tensors)} entries for "
            f"{len(set(tensors))} parameters"
        )
    for p in tensors:
        if isinstance(p, Tensor):
            _check_parameter(p)
    options = {**defaults, **group}
    checked_number("lr", options["lr"], above=0.0)
    checked_number("weight_decay", options["weight_decay"], least=0.0)
    if "momentum" in defaults:
        checked_number("momentum", options["momentum"], least=0.0, below=1.0)
    if "rho" in defaults and options["rho"] != "sqrt-lr":
        checked_number("rho", options["rho"], least=0.0, otherwise="'sqrt-lr'")
    for name in shared:
        if options[name] != defaults[name]:
            raise ValueError(
                f"{name} must be the same in all parameter groups, got {options[name]!r} in one "
                f"of an optimizer made with {defaults[name]!r}"
            )
    return group


def _check_parameter(p: Tensor) -> None:
    if not p.is_floating_point():
        raise ValueError(
            f"parameters must be real floating-point tensors, got dtype {p.dtype} (shape "
            f"{tuple(p.shape)})"
        )
    if p.layout != torch.strided:
        raise ValueError(f"parameters must be strided tensors, got layout {p.layout}")
    span = 1 + sum((n - 1) * stride for n, stride in zip(p.shape, p.stride(), strict=True))
    if p.numel() and span != p.numel():
        raise ValueError(
            f"parameters must be dense in memory, got strides {p.stride()} for shape "
            f"{tuple(p.shape)}; make a contiguous copy"
        )


def checked_number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    infinite: bool = False,
    otherwise: str = "",
) -> float:
    """The value as a float, or a ValueError that says what is allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        in_range = above < value and least <= value
        if in_range and (value < below or (infinite and value == math.inf)):
            return float(value)
    allowed = " and ".join(_bounds(above, least, below, infinite))
    raise ValueError(
        f"{name} must be {otherwise + ' or ' if otherwise else ''}a number {allowed}, got {value!r}"
    )


def _bounds(above: float, least: float, below: float, infinite: bool) -> Iterator[str]:
    if above > -math.inf:
        yield f"> {above:g}"
    if least > -math.inf:
        yield f">= {least:g}"
    yield (
        f"< {below:g}" if below < math.inf else "that may be inf" if infinite else "that is finite"
    )


def checked_model(model: object) -> nn.Module | None:
    """The model, or a ValueError."""
    if model is None or isinstance(model, nn.Module):
        return model
    raise ValueError(f"model must be a torch.nn.Module or None, got {type(model).__name__}")
