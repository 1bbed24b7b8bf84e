"""The smoothness-adaptive step size, equation (5) of the paper.

    eta_t   = min( ||w_t - w_{t-1}|| / (damping * ||g_t - g_{t-1}||),
                   sqrt(1 + delta * theta_{t-1}) * eta_{t-1} )
    theta_t = eta_t / eta_{t-1}

with g_t and g_{t-1} the gradients at w_t and w_{t-1} of the *same* mini-batch, and global norms.

Source: Naganuma et al. 2024, Algorithm 1 and eq. (5), after Malitsky & Mishchenko 2020 (arXiv
1910.09529). Departures: the index of theta is that of eq. (5), since line 5 of Algorithm 1 would
use theta_t before line 8 sets it; delta stands before theta, as in Malitsky & Mishchenko. The
paper leaves open what 0/0 means; here a step that did not move keeps eta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from sasam.optimizers import _foreach as foreach
from sasam.optimizers._groups import Group
from sasam.optimizers._passes import Passes
from sasam.optimizers._validation import checked_number

__all__ = [
    "SHARED",
    "Preset",
    "Proposal",
    "adaptive_defaults",
    "lagging_radius",
    "propose",
    "remember",
    "start",
]

Preset = Literal["paper", "reference"]

SHARED = ("preset", "damping", "delta", "theta_init", "max_lr")
"""Options of the one step size, hence equal in all groups."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a preset fixes; `reference` is the code the authors published, quirks included."""

    damping: float
    delta: float
    theta_init: float
    eps: float  # added to eta_t where the smoothness was measured
    grows_at_rest: bool  # w_t = w_{t-1} takes the growth bound, and so does the first step
    lagging_radius: bool  # rho_t = sqrt(eta_{t-1})


_RULES: dict[str, _Rule] = {
    "paper": _Rule(2.0, 0.02, math.inf, 0.0, grows_at_rest=False, lagging_radius=False),
    "reference": _Rule(1.0, 0.02, 1.0, 1e-8, grows_at_rest=True, lagging_radius=True),
}


def adaptive_defaults(
    lr: float,
    weight_decay: float,
    preset: Preset,
    damping: float | None,
    delta: float | None,
    theta_init: float | None,
    max_lr: float | None,
) -> Group:
    """Checked defaults of a smoothness-adaptive optimizer; None means the preset's value."""
    if preset not in _RULES:
        raise ValueError(f"preset must be one of {sorted(_RULES)}, got {preset!r}")
    rule = _RULES[preset]
    damping = rule.damping if damping is None else damping
    delta = rule.delta if delta is None else delta
    theta_init = rule.theta_init if theta_init is None else theta_init
    lr = checked_number("lr", lr, above=0.0)
    if max_lr is not None:
        checked_number("max_lr", max_lr, least=lr)
    return {
        "lr": lr,
        "weight_decay": weight_decay,
        "preset": preset,
        "damping": checked_number("damping", damping, above=0.0),
        "delta": checked_number("delta", delta, least=0.0),
        "theta_init": checked_number("theta_init", theta_init, least=0.0, infinite=True),
        "max_lr": max_lr,
    }


def start(optimizer: Optimizer) -> None:
    """Give the first group the state of the rule at t = 0; `lr` changed later scales the steps."""
    first = optimizer.param_groups[0]
    first.update(
        eta_0=float(first["lr"]),
        eta=float(first["lr"]),
        theta=first["theta_init"],
        smoothness=None,
        gradient_evaluations=0,
        skipped_steps=0,
    )


@dataclass(frozen=True, slots=True)
class Proposal:
    """A step size that still lives on the device, and the norms it rests on."""

    eta: Tensor
    displacement: Tensor
    difference: Tensor
    gradient: Tensor
    initial: bool  # t = 0, where there is no w_{t-1}

    def settle(self, first: Group, *others: Tensor) -> float | None:
        """Read everything in the step's one synchronisation; None if the step must be skipped.

        Args:
            first: The first parameter group, whose rule state moves on unless the step is skipped.
            others: Further norms that must be finite.
        """
        eta, *norms = torch.stack(
            [self.eta, self.displacement, self.difference, self.gradient, *others]
        ).tolist()
        if not (0.0 < eta < math.inf and all(map(math.isfinite, norms))):
            first["skipped_steps"] += 1
            return None
        displacement, difference, *_ = norms
        if displacement > 0.0:
            first["smoothness"] = difference / displacement
        if not self.initial or _RULES[first["preset"]].grows_at_rest:
            first["theta"] = eta / first["eta"]  # else theta_0 is still to be used, at t = 1
        first["eta"] = eta
        return float(eta)


def propose(optimizer: Optimizer, passes: Passes) -> Proposal:
    """Measure the smoothness along the last step (one pass) and derive eta_t from it.

    The gradients at w_t, which the caller left in `p.grad`, are there again afterwards. Without a
    previous point nothing needs to be measured: the step is one that has not moved.
    """
    params = passes.params
    gradient = foreach.norm([p.grad for p in params if p.grad is not None])
    moved = [p for p in params if "previous_weights" in optimizer.state.get(p, {})]
    displacement = difference = gradient.new_zeros(())
    if moved:
        previous = [optimizer.state[p]["previous_weights"] for p in moved]
        displacement = foreach.distance(moved, previous).to(gradient)
        # Copies, not references: a closure may well reuse the memory of p.grad.
        present = _take_gradients(params)
        with foreach.swapped(moved, previous):
            passes.evaluate()
            difference = _difference_to(params, present).to(gradient)
            for p, grad in zip(params, present, strict=True):
                p.grad = grad
    eta = step_size(optimizer.param_groups[0], displacement, difference)
    return Proposal(eta, displacement, difference, gradient, initial=not moved)


def step_size(rule: Group, displacement: Tensor, difference: Tensor) -> Tensor:
    """eta_t of equation (5) on the device, with its degenerate cases.

    Args:
        rule: Options and state of the rule, the first parameter group.
        displacement: ||w_t - w_{t-1}||, 0-dimensional.
        difference: ||g_t - g_{t-1}||, 0-dimensional.
    """
    preset = _RULES[rule["preset"]]
    eta, theta, delta = rule["eta"], rule["theta"], rule["delta"]
    bound = math.inf if theta == math.inf else eta * math.sqrt(1.0 + delta * theta)
    growth = bound if bound < math.inf else eta  # no bound offers no step size
    measured = (displacement / (rule["damping"] * difference)).clamp(max=bound) + preset.eps
    eta_t = torch.where(difference > 0, measured, growth)
    eta_t = torch.where(displacement > 0, eta_t, growth if preset.grows_at_rest else eta)
    return eta_t if rule["max_lr"] is None else eta_t.clamp(max=rule["max_lr"])


def remember(optimizer: Optimizer, params: list[Tensor], weights: list[Tensor]) -> None:
    """Let `weights` be w_{t-1} of the next step, without a copy."""
    optimizer.state.clear()  # what is frozen now has not moved when it is trained again
    for p, w in zip(params, weights, strict=True):
        optimizer.state[p]["previous_weights"] = w


def lagging_radius(rule: Group) -> bool:
    """Whether the preset perturbs with the step size before the present one."""
    return _RULES[rule["preset"]].lagging_radius


def _take_gradients(params: list[Tensor]) -> list[Tensor | None]:
    """Copies of the gradients, None where there is none; `p.grad` is let go."""
    copies = iter(foreach.clone([p.grad for p in params if p.grad is not None]))
    taken = [None if p.grad is None else next(copies) for p in params]
    for p in params:
        p.grad = None
    return taken


def _difference_to(params: list[Tensor], present: list[Tensor | None]) -> Tensor:
    """||p.grad - present||, None counting as 0; uses up `p.grad`."""
    pairs = [(p.grad, grad) for p, grad in zip(params, present, strict=True)]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    alone = [a for a, b in pairs if a is not None and b is None]
    alone += [b for a, b in pairs if a is None and b is not None]
    change = [a for a, _ in both]
    for part, others in foreach.alike(change, [b for _, b in both]):
        torch._foreach_sub_(part, others)
    return foreach.norm(change + alone)
