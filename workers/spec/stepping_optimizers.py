"""Sections of the optimizers that make steps of their own, with their options.

Those of SAM's line, which change the gradient of another optimizer, are in `sharpness_aware`.
"""

from __future__ import annotations

import difflib
from operator import not_
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from workers.catalog import WeightDecayKind, optimizers
from workers.spec.axes import OptimizerSearch
from workers.spec.fields import (
    Count,
    Flag,
    Keywords,
    Label,
    Name,
    NonNegative,
    PartError,
    Positive,
    Probability,
    Section,
    is_stored,
)
from workers.spec.library_signatures import known_members, known_options

__all__ = [
    "MSGD",
    "NO_OPTIONS",
    "SASAM",
    "SASGD",
    "SOAP",
    "Adam",
    "AdamW",
    "Betas",
    "DecayingSection",
    "FamilyOptimizer",
    "Lion",
    "Muon",
    "NAdamW",
    "OptimizerSection",
    "PluginOptimizer",
    "Prodigy",
    "Radius",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "name_of",
]

Radius = Literal["sqrt-lr"] | Positive
Betas = tuple[Probability, Probability]


NO_OPTIONS = {"name", "label", "scheduled", "search"}
"""Fields that are not for the optimizer."""


class OptimizerSection(Section):
    """Fields of all optimizers."""

    name: str
    label: Label | None = None
    """Name of this variant in tables and figures; the optimizer's name if absent."""
    search: OptimizerSearch | None = Field(default=None, exclude_if=lambda search: search is None)
    """Axes of this optimizer alone, such as ``{rho: [0.05, 0.1]}``."""
    is_built_in: ClassVar[bool] = True
    """Whether the tests of sasam hold what a conformance check finds before a sweep."""

    @model_validator(mode="before")
    @classmethod
    def _expand_plain_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @property
    def option_names(self) -> tuple[str, ...] | None:
        """Options that it takes; None if only its package knows."""
        return tuple(name for name in type(self).model_fields if name not in NO_OPTIONS)

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer, without those left at their default."""
        return self.model_dump(exclude=NO_OPTIONS, exclude_none=True)

    @property
    def weight_decay_kind(self) -> WeightDecayKind | None:
        """Kind of the weight decay; None if only its package knows."""
        if getattr(self, "exempt_vectors", False):
            return "exempting"
        kind: WeightDecayKind | None = optimizers.facts(self.name).get("weight_decay")
        return kind

    @property
    def gradient_evaluations_per_step(self) -> float | None:
        """Gradient evaluations per step; None if only its package knows."""
        found: float | None = optimizers.facts(self.name).get("gradient_evaluations_per_step")
        return found


class DecayingSection(OptimizerSection):
    """Fields of the optimizers that can leave parameters out of the weight decay."""

    # Left out of trial keys and stored specifications at its default: earlier releases had none.
    exempt_vectors: Annotated[Flag, Field(exclude_if=not_)] = False
    """Leave biases and normalisation layers, all parameters of fewer than two dimensions, out of
    the weight decay."""


class _SmoothnessAdaptive(DecayingSection):
    """Options of the step-size rule, eq. (5) of the paper."""

    preset: Literal["paper", "reference"] = "paper"
    """Defaults of the other options: the paper's, or those of the authors' code."""
    delta: NonNegative | None = None
    """Growth of the step size: at most by sqrt(1 + delta * theta) per step."""
    damping: Positive | None = None
    """The smoothness term is ||dw|| / (damping * ||dg||)."""
    theta_init: Positive | None = None
    """theta_0; infinite in the paper."""
    max_lr: Positive | None = None
    """Upper bound of the step size."""
    scheduled: Flag = False
    """Multiply the step size by ``training.schedule`` and its warm-up."""


class SASAM(_SmoothnessAdaptive):
    """Smoothness-adaptive sharpness-aware minimization; the learning rate is eta_0."""

    name: Literal["sa-sam"]
    rho: Radius = "sqrt-lr"
    """Perturbation radius: the root of the step size, or a fixed number."""


class SASGD(_SmoothnessAdaptive):
    """SGD with the smoothness-adaptive step size; the learning rate is eta_0."""

    name: Literal["sa-sgd"]


class MSGD(DecayingSection):
    """SGD with momentum."""

    name: Literal["msgd"]
    momentum: Probability = 0.9
    """Heavy-ball momentum."""
    nesterov: Flag = False
    """Nesterov's momentum."""


class Adam(DecayingSection):
    """Adam with PyTorch's defaults."""

    name: Literal["adam"]
    betas: Betas = (0.9, 0.999)
    """Decay of the means of gradient and squared gradient."""
    eps: Positive = 1e-8
    """Added to the root of the mean squared gradient."""


class AdamW(DecayingSection):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"]
    betas: Betas = (0.9, 0.999)
    """Decay of the means of gradient and squared gradient."""
    eps: Positive = 1e-8
    """Added to the root of the mean squared gradient."""


class NAdamW(DecayingSection):
    """AdamW with Nesterov's momentum, the baseline of AlgoPerf (Dahl et al. 2023)."""

    name: Literal["nadamw"]
    betas: Betas = (0.9, 0.999)
    """Decay of the means of gradient and squared gradient."""
    eps: Positive = 1e-8
    """Added to the root of the mean squared gradient."""


class Muon(DecayingSection):
    """Orthogonalised momentum for hidden matrices and kernels, AdamW for the rest (Jordan 2024)."""

    name: Literal["muon"]
    momentum: Probability = 0.95
    """Momentum of the matrices."""
    nesterov: Flag = True
    """Nesterov's momentum for the matrices."""
    ns_steps: Annotated[int, Field(ge=1, le=99, strict=True)] = 5
    """Iterations of Newton and Schulz."""
    adjust: Literal["match_rms_adamw", "original", "rms_to_rms"] = "match_rms_adamw"
    """Factor of the learning rate by shape; the default gives updates the size of AdamW's, so that
    matrices and the rest share a learning rate (Liu et al. 2025)."""
    betas: Betas = (0.9, 0.95)
    """Betas of AdamW."""


class Lion(DecayingSection):
    """Sign of an interpolated momentum (Chen et al. 2023)."""

    name: Literal["lion"]
    betas: Betas = (0.9, 0.99)
    """Interpolation of the update, and decay of the momentum."""


class SOAP(DecayingSection):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024)."""

    name: Literal["soap"]
    betas: Betas = (0.95, 0.95)
    """Decay of the means of gradient and squared gradient."""
    shampoo_beta: Probability | None = None
    """Decay of the preconditioner; the second beta if absent."""
    precondition_frequency: Count = 10
    """Steps between two updates of the eigenbasis."""


class ScheduleFreeAdamW(DecayingSection):
    """AdamW with averaged weights instead of a schedule (Defazio et al. 2024)."""

    name: Literal["schedule-free-adamw"]
    betas: Betas = (0.9, 0.999)
    """Interpolation between average and iterate, above 0; decay of the mean squared gradient."""
    warmup_steps: Annotated[int, Field(ge=0, le=10**9, strict=True)] = 0
    """Steps over which the learning rate rises from 0."""


class ScheduleFreeSGD(DecayingSection):
    """SGD with averaged weights instead of a schedule (Defazio et al. 2024)."""

    name: Literal["schedule-free-sgd"]
    momentum: Probability = 0.9
    """Interpolation between average and iterate, above 0."""
    warmup_steps: Annotated[int, Field(ge=0, le=10**9, strict=True)] = 0
    """Steps over which the learning rate rises from 0."""


class Prodigy(DecayingSection):
    """Adam with estimated step sizes (Mishchenko & Defazio 2024); the learning rate multiplies."""

    name: Literal["prodigy"]
    betas: Betas = (0.9, 0.999)
    """Decay of the means of gradient and squared gradient."""
    d_coef: Positive = 1.0
    """Factor of the estimated distance."""
    safeguard_warmup: Flag = False
    """Leave the learning rate out of the estimate's denominator, for schedules that warm up."""


class FamilyOptimizer(DecayingSection):
    """An optimizer of torch, timm or pytorch-optimizer, such as ``torch:RMSprop``."""

    name: Name
    kwargs: Keywords = Field(default_factory=dict)
    """Keyword arguments of its constructor."""
    is_built_in: ClassVar[bool] = False

    @field_validator("name")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        family, _, member = optimizers.require(value).partition(":")
        known = known_members(family)
        if known is None or member in known or is_stored(info):
            return value
        by_lower = {name.lower(): name for name in known}
        near = difflib.get_close_matches(member.lower(), by_lower, n=3)
        guess = f"; did you mean {', '.join(by_lower[name] for name in near)}?" if near else ""
        raise ValueError(f"{family} has no optimizer {member!r}{guess}")

    @model_validator(mode="after")
    def _known_kwargs(self, info: ValidationInfo) -> FamilyOptimizer:
        known = self.option_names
        for key, value in self.kwargs.items():
            if known is None or key in known or is_stored(info):
                continue
            near = difflib.get_close_matches(key, known, n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            message = f"unknown keyword of {self.name}{guess} (known: {', '.join(known)})"
            raise PartError(("kwargs", key), message, value)
        return self

    @property
    def option_names(self) -> tuple[str, ...] | None:
        """Keyword arguments of its constructor; None if its library is not installed here."""
        family, _, member = self.name.partition(":")
        return known_options(family, member)

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer."""
        return {**self.kwargs, **({"exempt_vectors": True} if self.exempt_vectors else {})}


class PluginOptimizer(OptimizerSection):
    """An optimizer from the entry-point group ``sasam.optimizers``."""

    name: Name
    kwargs: Keywords = Field(default_factory=dict)
    """Keyword arguments of its factory."""
    is_built_in: ClassVar[bool] = False

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return optimizers.require(value)

    @property
    def option_names(self) -> tuple[str, ...] | None:
        """None: only its package knows."""
        return None

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer."""
        return dict(self.kwargs)


def name_of(value: object) -> object:
    """Name of an entry, given as a name, as plain data or as a section."""
    if isinstance(value, str):
        return value
    return value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
