"""Smoothness-adaptive SGD.

    w_{t+1} = w_t - eta_t * g(w_t),    eta_t by equation (5)

Source: Malitsky & Mishchenko 2020 (arXiv 1910.09529) with the constants of Naganuma et al. 2024;
the rule and its degenerate cases are in `_step_size`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from sasam.optimizers import _foreach as foreach
from sasam.optimizers._groups import Group, Introspection, descend, schedule
from sasam.optimizers._passes import Closure, Passes
from sasam.optimizers._step_size import (
    SHARED,
    Preset,
    adaptive_defaults,
    propose,
    remember,
    start,
)
from sasam.optimizers._validation import checked_group, checked_model

__all__ = ["SASGD"]


class SASGD(Introspection, Optimizer):
    """SGD with the step size of SA-SAM; two gradients a step, one in the first.

    Arguments and behaviour are those of `SASAM`, without the perturbation.

    Example:
        >>> import torch
        >>> from sasam import SASGD
        >>> _ = torch.manual_seed(0)
        >>> inputs, targets = torch.randn(32, 3), torch.randn(32, 1)
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = SASGD(model.parameters(), lr=0.01, model=model)
        >>> def closure() -> torch.Tensor:
        ...     optimizer.zero_grad()
        ...     loss = torch.nn.functional.mse_loss(model(inputs), targets)
        ...     loss.backward()
        ...     return loss
        >>> losses = [float(optimizer.step(closure)) for _ in range(20)]
        >>> losses[-1] < losses[0]
        True
        >>> optimizer.gradient_evaluations
        39
        >>> optimizer.step_size != 0.01  # the measured step size has replaced the initial one
        True
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        weight_decay: float = 0.0,
        preset: Preset = "paper",
        damping: float | None = None,
        delta: float | None = None,
        theta_init: float | None = None,
        max_lr: float | None = None,
        model: nn.Module | None = None,
    ) -> None:
        super().__init__(
            params,
            adaptive_defaults(lr, weight_decay, preset, damping, delta, theta_init, max_lr),
        )
        start(self)
        self._model = checked_model(model)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group; see `torch.optim.Optimizer.add_param_group`."""
        super().add_param_group(checked_group(param_group, self.defaults, SHARED))

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Closure | None = None, *, grad_scaler: GradScaler | None = None
    ) -> Tensor:
        """Take one step; see `SASAM.step`. The closure is called twice, once in the first step."""
        first = self.param_groups[0]
        with Passes(self, closure, self._model, grad_scaler) as passes:
            loss = passes.evaluate()
            proposal = propose(self, passes)
        if (eta := proposal.settle(first)) is not None:
            remember(self, passes.params, foreach.clone(passes.params))
            for group in self.param_groups:
                descend(group, eta * schedule(first, group))
        else:
            passes.undo_buffers()
        return loss
