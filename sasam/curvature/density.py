"""Spectral density of a symmetric operator, by stochastic Lanczos quadrature.

    φ(λ) = (1/n) Σᵢ δ(λ − λᵢ) ≈ mean over random unit vectors v of Σⱼ wⱼ δ(λ − θⱼ)

with the Ritz values θⱼ of the Krylov space of v, and wⱼ the square of v'uⱼ with its Ritz vector uⱼ.

Source: Ghorbani, Krishnan & Xiao, "An investigation into neural net optimization via Hessian
eigenvalue density" (ICML 2019), section 2. Departure: full reorthogonalisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sasam.curvature._lanczos import Lanczos
from sasam.curvature.operators import NonFiniteProductError, Probe, SymmetricOperator

__all__ = ["SpectralDensity", "estimate_spectral_density"]


@dataclass(frozen=True, slots=True)
class SpectralDensity:
    """Spectral density as weighted points on the real line.

    Attributes:
        eigenvalues: The points, ascending; float64 on the CPU, shape (points,). Empty if a
            product was not finite.
        weights: Their weights, which sum to 1; same type and shape.
        matvecs: Products with the operator that were used.
    """

    eigenvalues: Tensor
    weights: Tensor
    matvecs: int

    def smoothed(self, grid: Tensor, width: float) -> Tensor:
        """Return the density on a grid with each point widened to a Gaussian.

        Args:
            grid: Values of λ, shape (m,).
            width: The standard deviation of the Gaussian, above 0.

        Returns:
            Shape (m,), float64.

        Raises:
            ValueError: The width is out of its range.
        """
        if not width > 0:
            raise ValueError(f"width must be above 0, got {width}")
        distances = (grid.to(self.eigenvalues)[:, None] - self.eigenvalues) / width
        heights = torch.exp(-distances.square() / 2) / (width * math.sqrt(2 * math.pi))
        return heights @ self.weights


def estimate_spectral_density(
    operator: SymmetricOperator,
    *,
    probes: int = 4,
    steps: int = 40,
    seed: int = 0,
) -> SpectralDensity:
    """Estimate the density of the eigenvalues.

    Args:
        operator: The symmetric operator.
        probes: Random start vectors, at least 1.
        steps: Products per start vector, at least 1; fewer if the operator is smaller. Memory is
            about `steps * operator.size` numbers.
        seed: Seed of the start vectors.

    Returns:
        At most `probes * steps` weighted eigenvalues.

    Raises:
        ValueError: A number is out of its range.
    """
    if probes < 1:
        raise ValueError(f"probes must be at least 1, got {probes}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    probe = Probe(operator, seed)
    points = [torch.zeros(2, 0, dtype=torch.float64)]
    try:
        for _ in range(probes):
            krylov = Lanczos(probe, min(steps, probe.size))
            while krylov.residual_norm > 0 and not krylov.is_full:
                krylov.expand()
            values, coordinates = krylov.ritz()
            points.append(torch.stack([values, coordinates[0].square() / probes]))
    except NonFiniteProductError:
        points = points[:1]
    values, weights = torch.cat(points, 1)
    ascending = values.argsort()
    return SpectralDensity(values[ascending], weights[ascending], probe.matvecs)
