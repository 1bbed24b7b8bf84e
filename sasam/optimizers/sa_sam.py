"""Smoothness-adaptive sharpness-aware minimization, the paper's Algorithm 1.

    eta_t   = min( ||w_t - w_{t-1}|| / (2 ||g(w_t) - g(w_{t-1})||),
                   sqrt(1 + delta * theta_{t-1}) * eta_{t-1} )
    rho_t   = sqrt(eta_t)
    w_{t+1} = w_t - eta_t * g(w_t + rho_t * g(w_t) / ||g(w_t)||)
    theta_t = eta_t / eta_{t-1}

Every g is the gradient on the mini-batch of step t; eta_0 is given, theta_0 = inf, rho_0 =
sqrt(eta_0).

Source: Naganuma et al. 2024, Algorithm 1 and eq. (5). How the paper is read where it leaves a
choice, and the degenerate cases, are in `_step_size`. Weight decay is added to the perturbed
gradient at w_t, outside the maximum and outside the gradient difference.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from sasam.optimizers import _foreach as foreach
from sasam.optimizers._groups import (
    Group,
    Introspection,
    Rho,
    ascend,
    descend,
    gradients,
    radius,
    schedule,
)
from sasam.optimizers._passes import Closure, Passes
from sasam.optimizers._step_size import (
    SHARED,
    Preset,
    adaptive_defaults,
    lagging_radius,
    propose,
    remember,
    start,
)
from sasam.optimizers._validation import checked_group, checked_model

__all__ = ["SASAM"]


class SASAM(Introspection, Optimizer):
    """SAM with adaptive step size and radius; three gradients per step, two in the first.

    Args:
        params: Parameters or parameter groups; a group may set its own `lr`, `rho` and
            `weight_decay`. All norms are global and there is one eta_t.
        lr: The initial step size eta_0, > 0. Afterwards a change of a group's `lr`, by a scheduler
            or by hand, multiplies its steps by lr / eta_0, with eta_0 the first group's initial lr.
        rho: Perturbation radius, "sqrt-lr" for the square root of the group's present step size, or
            a number >= 0.
        weight_decay: lambda >= 0; lambda * w_t is added to the perturbed gradient.
        preset: "paper" for Algorithm 1, or "reference" for the code its authors published: damping
            1, theta_init 1, 1e-8 added to a measured step size, a first step of
            eta_0 * sqrt(1 + delta), and rho_t = sqrt(eta_{t-1}).
        damping: Factor before the gradient difference, > 0; the preset's (2 or 1) by default.
        delta: Factor of theta in the growth bound, >= 0; 0.02 by default.
        theta_init: theta_0 >= 0, may be inf; the preset's (inf or 1) by default.
        max_lr: Upper bound of eta_t, >= lr; none by default.
        model: The module trained. Given, its buffers (BatchNorm statistics) end each step as the
            pass at w_t left them, and a skipped step as it found them; without it, the other passes
            count as well, and so do the passes of a skipped step.

    A step waits for the device once. If a gradient or a norm is not finite, it leaves weights,
    state and the buffers of `model` as they were (`skipped_steps`). Beyond the gradients it keeps
    w_{t-1}, and within a step one more copy of the weights.

    Example:
        >>> import torch
        >>> from sasam import SASAM
        >>> _ = torch.manual_seed(0)
        >>> inputs, targets = torch.randn(32, 3), torch.randn(32, 1)
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = SASAM(model.parameters(), lr=0.01, model=model)
        >>> def closure() -> torch.Tensor:
        ...     optimizer.zero_grad()
        ...     loss = torch.nn.functional.mse_loss(model(inputs), targets)
        ...     loss.backward()
        ...     return loss
        >>> losses = [float(optimizer.step(closure)) for _ in range(20)]
        >>> losses[-1] < losses[0]
        True
        >>> optimizer.gradient_evaluations
        59
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        rho: Rho = "sqrt-lr",
        weight_decay: float = 0.0,
        preset: Preset = "paper",
        damping: float | None = None,
        delta: float | None = None,
        theta_init: float | None = None,
        max_lr: float | None = None,
        model: nn.Module | None = None,
    ) -> None:
        rule = adaptive_defaults(lr, weight_decay, preset, damping, delta, theta_init, max_lr)
        super().__init__(params, {**rule, "rho": rho})
        start(self)
        self._model = checked_model(model)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group; see `torch.optim.Optimizer.add_param_group`."""
        super().add_param_group(checked_group(param_group, self.defaults, SHARED))

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Closure | None = None, *, grad_scaler: GradScaler | None = None
    ) -> Tensor:
        """Take one step, calling the closure three times, twice in the first step.

        Every pass starts from the same random state, so that dropout draws the same masks; a pass
        is a function of the weights alone. If the closure raises, weights, state and the buffers of
        `model` are those before the step.

        Args:
            closure: Clears the gradients, computes the loss of one mini-batch, calls backward() on
                it and returns it. It must not clip: the rule compares true gradients.
            grad_scaler: The scaler, if the closure calls backward() on `grad_scaler.scale(loss)`;
                the gradients are unscaled here, and `grad_scaler.update()` follows the step. A
                step that overflows is skipped, and the scaler sees the overflow.

        Returns:
            The closure's loss at w_t, detached.

        Raises:
            ValueError: There is no closure.
            RuntimeError: The loss is no scalar tensor, or the gradients are missing or sparse.
        """
        first, groups = self.param_groups[0], self.param_groups
        factors = [schedule(first, group) for group in groups]
        with Passes(self, closure, self._model, grad_scaler) as passes:
            loss = passes.evaluate()
            proposal = propose(self, passes)
            base = first["eta"] if lagging_radius(first) else proposal.eta
            radii = [radius(group, base * k) for group, k in zip(groups, factors, strict=True)]
            with foreach.restored(passes.params) as weights:
                ascend(groups, radii, proposal.gradient)
                passes.evaluate()
        ascended = foreach.norm([g for group in groups for g in gradients(group)[1]])
        lagging = first["eta"]
        if (eta := proposal.settle(first, ascended.to(proposal.eta))) is not None:
            used = lagging if lagging_radius(first) else eta
            first["radius"] = radius(first, used * factors[0])
            remember(self, passes.params, weights)
            for group, k in zip(groups, factors, strict=True):
                descend(group, eta * k)
        else:
            passes.undo_buffers()
        return loss
