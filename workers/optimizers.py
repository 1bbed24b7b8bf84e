"""The optimizers that a specification can name, as factories.

A factory takes the network, ``lr``, ``weight_decay`` and the specification's options, and returns a
``torch.optim.Optimizer`` whose ``step(closure)`` makes one step. Weight decay is coupled, ``lambda
* w`` added to the gradient, for all of them: a grid over it means the same in each of its panels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sasam.optimizers import SAM, SASAM, SASGD
from workers.catalog import optimizers
from workers.spec import TrialConfig

__all__ = [
    "build_adam",
    "build_msgd",
    "build_optimizer",
    "build_sa_sam",
    "build_sa_sgd",
    "build_sam",
]


def build_optimizer(config: TrialConfig, model: nn.Module) -> Optimizer:
    """Build the optimizer of a trial.

    Raises:
        ValueError: It refuses an option.
    """
    factory = optimizers.load(config.optimizer.name, config.files)
    try:
        optimizer: Optimizer = factory(
            model,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            **config.optimizer.options(),
        )
    except TypeError as error:
        raise ValueError(
            f"optimizer {config.optimizer.name} does not take {config.optimizer.options()}: {error}"
        ) from error
    return optimizer


def build_sa_sam(model: nn.Module, *, lr: float, weight_decay: float, **options: Any) -> SASAM:
    """SA-SAM; ``lr`` is eta_0."""
    return SASAM(model.parameters(), lr=lr, weight_decay=weight_decay, model=model, **options)


def build_sam(model: nn.Module, *, lr: float, weight_decay: float, **options: Any) -> SAM:
    """SAM on SGD."""
    return SAM(model.parameters(), lr=lr, weight_decay=weight_decay, model=model, **options)


def build_sa_sgd(model: nn.Module, *, lr: float, weight_decay: float, **options: Any) -> SASGD:
    """SGD with SA-SAM's step size; ``lr`` is eta_0."""
    return SASGD(model.parameters(), lr=lr, weight_decay=weight_decay, model=model, **options)


def build_msgd(model: nn.Module, *, lr: float, weight_decay: float, **options: Any) -> Optimizer:
    """SGD with momentum."""
    return torch.optim.SGD(
        model.parameters(), lr=lr, weight_decay=weight_decay, fused=True, **options
    )


def build_adam(model: nn.Module, *, lr: float, weight_decay: float, **options: Any) -> Optimizer:
    """Adam."""
    return torch.optim.Adam(
        model.parameters(), lr=lr, weight_decay=weight_decay, fused=True, **options
    )
