"""The optimizers a specification can name, with their options.

A plain name stands for an optimizer with its defaults: ``sam`` is ``{name: sam}``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from workers.catalog import optimizers
from workers.spec.axes import OptimizerSearch
from workers.spec.fields import (
    Flag,
    Keywords,
    Label,
    Name,
    NonNegative,
    Positive,
    Probability,
    Section,
)

__all__ = ["MSGD", "SAM", "SASAM", "SASGD", "VARIANTS", "Adam", "OptimizerSpec", "PluginOptimizer"]

Radius = Literal["sqrt-lr"] | Positive


class _Optimizer(Section):
    """Fields of all optimizers."""

    label: Label | None = None
    """Name of this variant in tables and figures; the optimizer's name if absent."""
    search: OptimizerSearch | None = Field(default=None, exclude_if=lambda search: search is None)
    """Axes of this optimizer alone, such as ``{rho: [0.05, 0.1]}``."""

    @model_validator(mode="before")
    @classmethod
    def _expand_plain_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer, without those left at their default."""
        return self.model_dump(exclude={"name", "label", "scheduled"}, exclude_none=True)


class _SmoothnessAdaptive(_Optimizer):
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


class SAM(_Optimizer):
    """Sharpness-aware minimization."""

    name: Literal["sam"]
    rho: Radius = "sqrt-lr"
    """Perturbation radius: the root of the learning rate, or a fixed number."""
    momentum: Probability = 0.0
    """Heavy-ball momentum of the base step."""


class MSGD(_Optimizer):
    """SGD with momentum."""

    name: Literal["msgd"]
    momentum: Probability = 0.9
    """Heavy-ball momentum."""
    nesterov: Flag = False
    """Nesterov's momentum."""


class Adam(_Optimizer):
    """Adam with PyTorch's defaults."""

    name: Literal["adam"]
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    """Decay of the means of gradient and squared gradient."""
    eps: Positive = 1e-8
    """Added to the root of the mean squared gradient."""


class PluginOptimizer(_Optimizer):
    """An optimizer from the entry-point group ``sasam.optimizers``."""

    name: Name
    kwargs: Keywords = Field(default_factory=dict)
    """Keyword arguments of its factory."""

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return optimizers.require(value)

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer."""
        return dict(self.kwargs)


VARIANTS: dict[str, type[_Optimizer]] = {
    "sa-sam": SASAM,
    "sam": SAM,
    "sa-sgd": SASGD,
    "msgd": MSGD,
    "adam": Adam,
    "plugin": PluginOptimizer,
}
"""Section of each built-in optimizer by name, and of all others."""


def _variant(value: object) -> str:
    """Key in ``VARIANTS`` of an entry of the list."""
    name = value if isinstance(value, str) else None
    if isinstance(value, dict):
        name = value.get("name")
    elif isinstance(value, _Optimizer):
        name = getattr(value, "name", None)
    return name if isinstance(name, str) and name in VARIANTS else "plugin"


OptimizerSpec = Annotated[
    Annotated[SASAM, Tag("sa-sam")]
    | Annotated[SAM, Tag("sam")]
    | Annotated[SASGD, Tag("sa-sgd")]
    | Annotated[MSGD, Tag("msgd")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[PluginOptimizer, Tag("plugin")],
    Discriminator(_variant),
]
