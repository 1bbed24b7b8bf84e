"""Sections of SAM's line: methods that give a base optimizer the gradient at perturbed weights."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from workers.catalog import WeightDecayKind
from workers.spec.fields import (
    Count,
    NonNegative,
    PartError,
    Positive,
    Probability,
)
from workers.spec.stepping_optimizers import (
    MSGD,
    NO_OPTIONS,
    SOAP,
    Adam,
    AdamW,
    DecayingSection,
    FamilyOptimizer,
    Lion,
    Muon,
    NAdamW,
    OptimizerSection,
    Radius,
    name_of,
)

__all__ = [
    "ASAM",
    "GSAM",
    "SAM",
    "SAMON",
    "BaseSpec",
    "FriendlySAM",
    "LookSAM",
]

_BASES: dict[str, type[OptimizerSection]] = {
    "msgd": MSGD,
    "adam": Adam,
    "adamw": AdamW,
    "nadamw": NAdamW,
    "muon": Muon,
    "lion": Lion,
    "soap": SOAP,
    "family": FamilyOptimizer,
}
"""Section of each optimizer that SAM's line can wrap."""


def _base_variant(value: object) -> str:
    """Key in ``_BASES`` of a base optimizer."""
    name = name_of(value)
    return name if isinstance(name, str) and name in _BASES else "family"


def _known_base(value: Any) -> Any:
    """Refuse what is no base optimizer before its fields are validated."""
    name = name_of(value)
    if not isinstance(name, str) or (name not in _BASES and ":" not in name):
        known = ", ".join(key for key in _BASES if key != "family")
        raise PartError((), f"must be one of {known}, or of a family such as torch:RMSprop", value)
    if isinstance(value, dict) and value.get("label") is not None:
        raise PartError(("label",), "must be absent: the whole has the label", value["label"])
    return value


BaseSpec = Annotated[
    Annotated[MSGD, Tag("msgd")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[NAdamW, Tag("nadamw")]
    | Annotated[Muon, Tag("muon")]
    | Annotated[Lion, Tag("lion")]
    | Annotated[SOAP, Tag("soap")]
    | Annotated[FamilyOptimizer, Tag("family")],
    Discriminator(_base_variant),
    BeforeValidator(_known_base),
]
"""The optimizer that steps with the gradient of a method of SAM's line."""


def _is_none(value: object) -> bool:
    return value is None


class _Wrapper(OptimizerSection):
    """Fields of SAM's line: methods that give a base optimizer another gradient."""

    base: BaseSpec = MSGD(name="msgd")
    """The optimizer that makes the step, by name or with options."""

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer."""
        own = self.model_dump(exclude=NO_OPTIONS | {"base"}, exclude_none=True)
        return own | {"base": self.base}

    @property
    def weight_decay_kind(self) -> WeightDecayKind | None:
        """Kind of the base optimizer's weight decay."""
        return self.base.weight_decay_kind


class SAM(DecayingSection):
    """Sharpness-aware minimization (Foret et al. 2021)."""

    name: Literal["sam"]
    rho: Radius = "sqrt-lr"
    """Perturbation radius: the root of the learning rate, or a fixed number."""
    momentum: Probability = 0.0
    """Heavy-ball momentum of the base step."""
    base: Annotated[BaseSpec | None, Field(exclude_if=_is_none)] = None
    """The optimizer that makes the step, by name or with options; SGD if absent."""

    @model_validator(mode="after")
    def _base_has_its_own_options(self) -> SAM:
        for key in ("momentum", "exempt_vectors"):
            if self.base is not None and getattr(self, key):
                raise PartError((key,), "must be an option of base", getattr(self, key))
        return self

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer."""
        if self.base is None:
            return super().options()
        return {"rho": self.rho, "base": self.base}

    @property
    def weight_decay_kind(self) -> WeightDecayKind | None:
        """Kind of the weight decay, the base optimizer's if there is one."""
        return super().weight_decay_kind if self.base is None else self.base.weight_decay_kind


class ASAM(_Wrapper):
    """SAM with a perturbation in proportion to each weight (Kwon et al. 2021)."""

    name: Literal["asam"]
    rho: Positive = 0.5
    """Perturbation radius."""
    eta: NonNegative = 0.01
    """Added to the size of each weight."""


class GSAM(_Wrapper):
    """SAM that also reduces the surrogate gap (Zhuang et al. 2022)."""

    name: Literal["gsam"]
    rho: Positive = 0.05
    """Perturbation radius; it follows the schedule of the learning rate."""
    alpha: NonNegative = 0.4
    """Weight of the gradient's component orthogonal to the perturbed gradient."""


class FriendlySAM(_Wrapper):
    """SAM along the noise of the mini-batch's gradient (Li et al. 2024)."""

    name: Literal["friendly-sam"]
    rho: Positive = 0.2
    """Perturbation radius."""
    sigma: NonNegative = 1.0
    """Share of the mean gradient that the perturbation leaves out."""
    decay: Probability = 0.6
    """Decay lambda of the mean gradient."""


class LookSAM(_Wrapper):
    """SAM that perturbs in every k-th step alone (Liu et al. 2022)."""

    name: Literal["looksam"]
    rho: Positive = 0.1
    """Perturbation radius."""
    k: Count = 5
    """Steps between two perturbations."""
    alpha: NonNegative = 0.7
    """Size of the reused direction, relative to the gradient."""

    @property
    def gradient_evaluations_per_step(self) -> float | None:
        """Two in every k-th step, one in the others."""
        return 1.0 + 1.0 / self.k


class SAMON(_Wrapper):
    """SAM that perturbs the normalisation layers alone (Mueller et al. 2023)."""

    name: Literal["sam-on"]
    rho: Positive = 0.5
    """Perturbation radius."""
