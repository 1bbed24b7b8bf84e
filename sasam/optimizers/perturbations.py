"""Methods of SAM's line: where the second gradient is taken, and what is made of the two.

    method         perturbation e                               gradient of the base optimizer
    SAM            rho g / ||g||                                 g'
    ASAM           rho T^2 g / ||T g||,  T = |w| + eta           g'
    GSAM           rho_t g / ||g||                               g' - alpha (g orthogonal to g')
    Friendly-SAM   rho d / ||d||,  d = g - sigma m               g'
    LookSAM        rho g / ||g|| in every k-th step              g', or g + alpha ||g|| / ||v|| v
    SAM-ON         rho g / ||g|| over normalisation layers only  g'

g and g' are the gradients at w and w + e; norms are global. A class holds the constants of a
method; `SharpnessAware` makes its steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sasam.optimizers import _foreach as foreach
from sasam.optimizers._groups import EPSILON, Rho
from sasam.optimizers._validation import checked_number

__all__ = [
    "ASAM",
    "GSAM",
    "SAMON",
    "FriendlySAM",
    "LookSAM",
    "Moment",
    "Perturbation",
    "PlainSAM",
]

Vector = list[Tensor]


@dataclass(frozen=True, slots=True)
class Moment:
    """A step in progress.

    Args:
        number: Number of the step, from 0.
        rate: Present learning rate of the first group.
        schedule: The present learning rate relative to the initial one.
        memory: State of each parameter that has a gradient.
    """

    number: int
    rate: float
    schedule: float
    memory: list[dict[str, Any]]
    _staged: dict[str, Vector] = field(default_factory=dict)

    def recall(self, name: str, like: Vector) -> Vector:
        """What earlier steps kept under a name; zeros like a vector if they kept nothing."""
        held = [state.get(name) for state in self.memory]
        return [
            torch.zeros_like(other) if value is None else value
            for value, other in zip(held, like, strict=True)
        ]

    def stage(self, name: str, vector: Vector) -> None:
        """Keep a vector under a name, unless the step is skipped."""
        self._staged[name] = vector

    def keep(self) -> None:
        """Write the staged vectors into the state of the parameters."""
        for name, vector in self._staged.items():
            for state, value in zip(self.memory, vector, strict=True):
                state[name] = value


class Perturbation(Protocol):
    """A method of SAM's line."""

    def radius(self, rate: float, schedule: float) -> float:
        """The radius rho at a learning rate; ``schedule`` is the rate relative to the initial."""

    def shift(self, params: Vector, gradient: Vector, moment: Moment) -> Vector | None:
        """The perturbation e of every parameter; None if the step has one pass."""

    def combine(self, gradient: Vector, perturbed: Vector | None, moment: Moment) -> Vector:
        """The gradient for the base optimizer, of g and of g', which a step of one pass lacks."""


@dataclass(frozen=True)
class PlainSAM:
    """SAM: e = rho g / ||g|| (Foret et al. 2021, arXiv 2010.01412, eq. 2).

    Args:
        rho: Radius, "sqrt-lr" for the root of the learning rate or a number >= 0.
    """

    rho: Rho = 0.05

    def __post_init__(self) -> None:
        if self.rho != "sqrt-lr":
            checked_number("rho", self.rho, least=0.0, otherwise="'sqrt-lr'")

    def radius(self, rate: float, schedule: float) -> float:
        """The radius."""
        return rate**0.5 if self.rho == "sqrt-lr" else float(self.rho)

    def shift(self, params: Vector, gradient: Vector, moment: Moment) -> Vector | None:
        """Along the gradient."""
        radius = self.radius(moment.rate, moment.schedule)
        return list(torch._foreach_mul(gradient, radius / (foreach.norm(gradient) + EPSILON)))

    def combine(self, gradient: Vector, perturbed: Vector | None, moment: Moment) -> Vector:
        """The perturbed gradient."""
        return gradient if perturbed is None else perturbed


@dataclass(frozen=True)
class ASAM(PlainSAM):
    """ASAM: e = rho T^2 g / ||T g|| with T = |w| + eta (Kwon et al. 2021, arXiv 2102.11600).

    T is the same for every parameter, as in the paper; the authors' code has T = 1 for biases.

    Args:
        rho: Radius, as of `PlainSAM`.
        eta: Added to the size of each weight, >= 0.
    """

    rho: Rho = 0.5
    eta: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_number("eta", self.eta, least=0.0)

    def shift(self, params: Vector, gradient: Vector, moment: Moment) -> Vector | None:
        """In proportion to the weights."""
        sizes = torch._foreach_abs(params)
        torch._foreach_add_(sizes, self.eta)
        scaled = list(torch._foreach_mul(gradient, sizes))
        scale = self.radius(moment.rate, moment.schedule) / (foreach.norm(scaled) + EPSILON)
        torch._foreach_mul_(scaled, sizes)
        torch._foreach_mul_(scaled, scale)
        return scaled


@dataclass(frozen=True)
class GSAM(PlainSAM):
    """GSAM: the step is g' - alpha g_orthogonal (Zhuang et al. 2022, arXiv 2203.08065, alg. 1).

    g_orthogonal is the component of g orthogonal to g'. rho follows the schedule of the learning
    rate, rho_t = rho eta_t / eta_0, which is the paper's with rho_min = eta_min = 0.

    Args:
        rho: Radius at the initial learning rate, as of `PlainSAM`.
        alpha: Weight of the orthogonal component, >= 0.
    """

    alpha: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_number("alpha", self.alpha, least=0.0)

    def radius(self, rate: float, schedule: float) -> float:
        """The radius at the present learning rate."""
        return super().radius(rate / schedule, schedule) * schedule

    def combine(self, gradient: Vector, perturbed: Vector | None, moment: Moment) -> Vector:
        """The perturbed gradient, less a share of what the gradient has orthogonal to it."""
        if perturbed is None:
            return gradient
        orthogonal = _orthogonal(gradient, perturbed)
        return list(torch._foreach_add(perturbed, orthogonal, alpha=-self.alpha))


@dataclass(frozen=True)
class FriendlySAM(PlainSAM):
    """Friendly-SAM: e along d = g - sigma m (Li et al. 2024, arXiv 2403.12350).

    m_t = lambda m_{t-1} + (1 - lambda) g_t with m_0 = 0 estimates the full gradient. With the
    paper's sigma = 1, d is lambda (g_t - m_{t-1}), the direction of the authors' code, which starts
    from m_1 = g_1. The defaults are those of its ``run.sh``.

    Args:
        rho: Radius, as of `PlainSAM`.
        sigma: Share of the mean gradient that is left out, >= 0.
        decay: lambda in [0, 1).
    """

    rho: Rho = 0.2
    sigma: float = 1.0
    decay: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_number("sigma", self.sigma, least=0.0)
        checked_number("decay", self.decay, least=0.0, below=1.0)

    def shift(self, params: Vector, gradient: Vector, moment: Moment) -> Vector | None:
        """Along what is the mini-batch's own in the gradient."""
        mean = torch._foreach_lerp(moment.recall("mean", gradient), gradient, 1.0 - self.decay)
        moment.stage("mean", list(mean))
        return super().shift(
            params, list(torch._foreach_add(gradient, mean, alpha=-self.sigma)), moment
        )


@dataclass(frozen=True)
class LookSAM(PlainSAM):
    """LookSAM: SAM in every k-th step, its direction reused (Liu et al. 2022, arXiv 2203.02714).

    Every k-th step is SAM's, and keeps v, the component of g' orthogonal to g; the steps between
    are g + alpha ||g|| / ||v|| v (alg. 1).

    Args:
        rho: Radius, as of `PlainSAM`.
        k: Steps between two perturbations, >= 1.
        alpha: Size of the reused direction relative to the gradient, >= 0.
    """

    rho: Rho = 0.1
    k: int = 5
    alpha: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_number("k", self.k, least=1)
        checked_number("alpha", self.alpha, least=0.0)

    def shift(self, params: Vector, gradient: Vector, moment: Moment) -> Vector | None:
        """Along the gradient, in every k-th step."""
        return super().shift(params, gradient, moment) if moment.number % self.k == 0 else None

    def combine(self, gradient: Vector, perturbed: Vector | None, moment: Moment) -> Vector:
        """The perturbed gradient, or the gradient with the direction of an earlier step."""
        if perturbed is not None:
            moment.stage("sharp", _orthogonal(perturbed, gradient))
            return perturbed
        sharp = moment.recall("sharp", gradient)
        scale = self.alpha * foreach.norm(gradient) / (foreach.norm(sharp) + EPSILON)
        return list(torch._foreach_add(gradient, torch._foreach_mul(sharp, scale)))


@dataclass(frozen=True)
class SAMON(PlainSAM):
    """SAM-ON: SAM over the normalisation layers alone (Mueller et al. 2023, arXiv 2306.04226).

    Args:
        rho: Radius, "sqrt-lr" or a number >= 0; the default is that of the authors' code.
        model: The network; modules whose class name contains "norm" are its normalisation layers.

    Raises:
        ValueError: The network has no trained parameters in normalisation layers.
    """

    rho: Rho = 0.5
    model: nn.Module = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(p.requires_grad for p in self._perturbed()):
            raise ValueError(
                "SAM-ON perturbs the weights of normalisation layers, and the network has none"
            )

    def shift(self, params: Vector, gradient: Vector, moment: Moment) -> Vector | None:
        """Along the gradient of the normalisation layers."""
        perturbed = set(self._perturbed())
        masked = [
            g if p in perturbed else torch.zeros_like(g)
            for p, g in zip(params, gradient, strict=True)
        ]
        return super().shift(params, masked, moment)

    def _perturbed(self) -> list[Tensor]:
        """The parameters of the normalisation layers."""
        return [
            p
            for module in self.model.modules()
            if any("norm" in kind.__name__.lower() for kind in type(module).__mro__)
            for p in module.parameters(recurse=False)
        ]


def _orthogonal(vector: Vector, other: Vector) -> Vector:
    """The component of a vector that is orthogonal to another one."""
    products = [torch.sum(a * b) for a, b in zip(vector, other, strict=True)]
    share = torch.stack(products).sum() / (foreach.norm(other) ** 2 + EPSILON**2)
    return list(torch._foreach_sub(vector, torch._foreach_mul(other, share)))
