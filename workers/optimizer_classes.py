"""The class of each built-in optimizer, by its name in specifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PERTURBATIONS", "STEPPING", "OptimizerClass"]


@dataclass(frozen=True, slots=True)
class OptimizerClass:
    """A class, and how its constructor is called.

    Attributes:
        module: Module to import it from.
        name: Its name there.
        takes_model: Whether the constructor has an argument ``model``.
        fixed: Arguments of the constructor that a specification cannot choose.
    """

    module: str
    name: str
    takes_model: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)


_OWN = "sasam.optimizers"

STEPPING = {
    "sa-sam": OptimizerClass(_OWN, "SASAM", takes_model=True),
    "sa-sgd": OptimizerClass(_OWN, "SASGD", takes_model=True),
    "sam": OptimizerClass(_OWN, "SAM", takes_model=True),
    "msgd": OptimizerClass("torch.optim", "SGD", fixed={"fused": True}),
    "adam": OptimizerClass("torch.optim", "Adam", fixed={"fused": True}),
    "adamw": OptimizerClass("torch.optim", "AdamW", fixed={"fused": True}),
    "nadamw": OptimizerClass("timm.optim", "NAdamW"),
    "lion": OptimizerClass("timm.optim", "Lion"),
    "soap": OptimizerClass("pytorch_optimizer", "SOAP"),
    "schedule-free-adamw": OptimizerClass("pytorch_optimizer", "ScheduleFreeAdamW"),
    "schedule-free-sgd": OptimizerClass("pytorch_optimizer", "ScheduleFreeSGD"),
    "prodigy": OptimizerClass("pytorch_optimizer", "Prodigy"),
}
"""Optimizers that make their own steps."""

PERTURBATIONS = {
    "sam": OptimizerClass(_OWN, "PlainSAM"),
    "asam": OptimizerClass(_OWN, "ASAM"),
    "gsam": OptimizerClass(_OWN, "GSAM"),
    "friendly-sam": OptimizerClass(_OWN, "FriendlySAM"),
    "looksam": OptimizerClass(_OWN, "LookSAM"),
    "sam-on": OptimizerClass(_OWN, "SAMON", takes_model=True),
}
"""Perturbations of the methods of SAM's line that wrap a base optimizer."""
