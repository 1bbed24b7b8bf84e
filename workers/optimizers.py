"""The optimizers that a specification can name, as factories.

A factory takes the network, ``lr``, ``weight_decay`` and the specification's options, and returns a
``torch.optim.Optimizer`` whose ``step(closure)`` makes one step. The catalog says whether its
weight decay is coupled, ``lambda * w`` added to the gradient, or decoupled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from sasam.optimizers import Perturbation, SharpnessAware
from workers.catalog import optimizers
from workers.optimizer_classes import PERTURBATIONS, STEPPING
from workers.optimizer_families import import_library
from workers.parameter_groups import hidden_matrices, parameter_groups
from workers.spec import TrialConfig
from workers.spec.optimizers import OptimizerSpec

__all__ = [
    "build_adam",
    "build_adamw",
    "build_asam",
    "build_friendly_sam",
    "build_from_section",
    "build_gsam",
    "build_lion",
    "build_looksam",
    "build_msgd",
    "build_muon",
    "build_nadamw",
    "build_optimizer",
    "build_prodigy",
    "build_sa_sam",
    "build_sa_sgd",
    "build_sam",
    "build_sam_on",
    "build_schedule_free_adamw",
    "build_schedule_free_sgd",
    "build_soap",
]


def build_optimizer(config: TrialConfig, model: nn.Module) -> Optimizer:
    """Build the optimizer of a trial.

    Raises:
        ValueError: It refuses an option or the network.
    """
    return build_from_section(
        config.optimizer,
        model,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        files=config.files,
    )


def build_from_section(
    section: OptimizerSpec,
    model: nn.Module,
    *,
    lr: float | None,
    weight_decay: float | None,
    files: Mapping[str, str] = MappingProxyType({}),
) -> Optimizer:
    """Build the optimizer of a section of a specification.

    The factory of a family such as ``torch:`` gets the rest of the name first.

    Args:
        section: Name and options.
        model: The network.
        lr: Learning rate; None for the optimizer's default.
        weight_decay: Weight decay; None for the optimizer's default.
        files: Sources of the specification, for an optimizer of the user's own.

    Raises:
        ValueError: It refuses an option or the network.
    """
    factory = optimizers.load(section.name, files)
    is_member = optimizers.entry(section.name).name.endswith(":")
    facts = optimizers.facts((getattr(section, "base", None) or section).name)
    chosen = {
        "lr": facts.get("default_learning_rate") if lr is None else lr,
        "weight_decay": facts.get("default_weight_decay") if weight_decay is None else weight_decay,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    options = section.options()
    member = [section.name.partition(":")[2]] if is_member else []
    try:
        optimizer: Optimizer = factory(*member, model, **given, **options)
    except TypeError as error:
        raise ValueError(f"optimizer {section.name} does not take {options}: {error}") from error
    return optimizer


def _factory(optimizer: str) -> Callable[..., Optimizer]:
    """The factory of an optimizer of its own class; its library is imported when it is called."""
    chosen = STEPPING[optimizer]

    def build(model: nn.Module, *, exempt_vectors: bool = False, **options: Any) -> Optimizer:
        groups = parameter_groups(list(model.parameters()), exempt_vectors=exempt_vectors)
        if chosen.takes_model:
            options["model"] = model
        constructor: Callable[..., Optimizer] = getattr(import_library(chosen.module), chosen.name)
        return constructor(groups, **chosen.fixed, **options)

    return build


build_sa_sam = _factory("sa-sam")
build_sa_sgd = _factory("sa-sgd")
build_msgd = _factory("msgd")
build_adam = _factory("adam")
build_adamw = _factory("adamw")
build_nadamw = _factory("nadamw")
build_lion = _factory("lion")
build_soap = _factory("soap")
build_schedule_free_adamw = _factory("schedule-free-adamw")
build_schedule_free_sgd = _factory("schedule-free-sgd")
build_prodigy = _factory("prodigy")


def build_muon(
    model: nn.Module, *, adjust: str, exempt_vectors: bool = False, **options: Any
) -> Optimizer:
    """Muon for hidden matrices and flattened kernels, AdamW for the rest, at one learning rate.

    Raises:
        ValueError: The network has no hidden matrix.
    """
    hidden = hidden_matrices(model)
    chosen = set(hidden)
    others = [p for p in model.parameters() if p not in chosen]
    rest = parameter_groups(
        others, exempt_vectors=exempt_vectors, use_fallback=True, nesterov=False
    )
    groups = [{"params": hidden, "use_muon": True}, *rest]
    muon: Callable[..., Optimizer] = import_library("timm.optim").Muon
    return muon(groups, adjust_lr_fn=adjust, **options)


def _wrapper(method: str) -> Callable[..., Optimizer]:
    """The factory of a method of SAM's line around its base optimizer."""
    chosen = PERTURBATIONS[method]

    def build(
        model: nn.Module,
        *,
        base: OptimizerSpec,
        lr: float | None = None,
        weight_decay: float | None = None,
        **options: Any,
    ) -> Optimizer:
        wrapped = build_from_section(base, model, lr=lr, weight_decay=weight_decay)
        if chosen.takes_model:
            options["model"] = model
        perturbation: Perturbation = getattr(import_library(chosen.module), chosen.name)(**options)
        return SharpnessAware(wrapped, perturbation, model=model)

    return build


_build_sam = _factory("sam")
_build_sam_around = _wrapper("sam")
build_asam = _wrapper("asam")
build_gsam = _wrapper("gsam")
build_friendly_sam = _wrapper("friendly-sam")
build_looksam = _wrapper("looksam")
build_sam_on = _wrapper("sam-on")


def build_sam(model: nn.Module, *, base: OptimizerSpec | None = None, **options: Any) -> Optimizer:
    """SAM on SGD, or around a base optimizer."""
    if base is not None:
        return _build_sam_around(model, base=base, **options)
    return _build_sam(model, **options)
