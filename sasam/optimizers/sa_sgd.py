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

from sasam.optimizers import _flat as flat
from sasam.optimizers._groups import (
    Group,
    Introspection,
    checked_group,
    checked_model,
    descend,
    schedule,
)
from sasam.optimizers._passes import Closure, Passes
from sasam.optimizers._step_size import (
    SHARED,
    Preset,
    adaptive_defaults,
    propose,
    remember,
    start,
)

__all__ = ["SASGD"]


class SASGD(Introspection, Optimizer):
    """SGD with the step size of SA-SAM; two gradients a step, one in the first.

    Args and behaviour are those of `SASAM`, less the perturbation.
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
            remember(self, passes.params, flat.clone(passes.params))
            for group in self.param_groups:
                descend(group, eta * schedule(first, group))
        else:
            passes.undo_buffers()
        return loss
