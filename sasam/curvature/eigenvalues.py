"""The largest and the smallest eigenvalue of a symmetric operator.

Lanczos (the default) takes both ends from one Krylov space: after m products the extremal Ritz
values θ of T = V'AV are the best that any method reaches with m products from one start. A Ritz
pair has the residual |A u − θ u| = β |s_m|, so an eigenvalue lies within that distance, and within
its square over the gap to the rest of the spectrum. That eigenvalue need not be the last one: a
random start holds so little of each eigenvector that the first Ritz value at an end may be the mean
of the bulk, with a small residual, while the eigenvalues beyond it have not shown yet. A mixture of
k eigenvectors hides an eigenvalue at distance d from a residual below d/√k; so the residual counts
√k times, k being what a random vector's share in the Ritz vector tells. An operator may also offer
guesses at its extremal eigenvectors, which then start the search.

Power iteration (the paper's, Appendix A) finds the eigenvalue of largest magnitude, which is not
the largest one where λ_min < −λ_max. Here it finds the spectral radius ρ first and then iterates
with A + ρI, whose eigenvalues are not negative, for λ_max, and with A − ρI for λ_min. It divides by
norms without adding a constant to them: that would shrink small eigenvalues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from sasam.curvature._lanczos import Lanczos
from sasam.curvature.operators import NonFiniteProductError, Probe, SymmetricOperator

__all__ = ["EigenvalueMethod", "Ends", "ExtremalEigenvalues", "estimate_extremal_eigenvalues"]

EigenvalueMethod = Literal["lanczos", "power"]
Ends = Literal["both", "largest"]

# Ritz vectors kept at each end when the basis is full.
_KEPT_AT_EACH_END = 6


@dataclass(frozen=True, slots=True)
class ExtremalEigenvalues:
    """Both ends of a spectrum.

    Attributes:
        lambda_max: The largest algebraic eigenvalue; NaN where a product was not finite.
        lambda_min: The smallest algebraic eigenvalue; NaN where a product was not finite.
        residual_max: |A u − λ_max u| of the unit vector u found: some eigenvalue is that near.
        residual_min: The same for λ_min.
        matvecs: The products used.
        converged: Whether the ends asked for reached the tolerance.
        method: The method used.
    """

    lambda_max: float
    lambda_min: float
    residual_max: float
    residual_min: float
    matvecs: int
    converged: bool
    method: EigenvalueMethod


def estimate_extremal_eigenvalues(
    operator: SymmetricOperator,
    *,
    method: EigenvalueMethod = "lanczos",
    ends: Ends = "both",
    tolerance: float = 1e-3,
    max_matvecs: int = 100,
    basis_size: int = 32,
    seed: int = 0,
) -> ExtremalEigenvalues:
    """Estimate the largest and the smallest algebraic eigenvalue.

    Args:
        operator: The symmetric operator A.
        method: "lanczos", or "power" for the paper's power iteration.
        ends: Which ends must reach the tolerance. With "largest", which takes about half the
            products, λ_min is what they give, with its residual.
        tolerance: The error asked for, above 0: of λ_max relative to itself, of λ_min relative to
            the larger magnitude of both (it is often close to 0). Lanczos estimates the error
            from the residual; power iteration stops, as PyHessian's does, when an iteration
            changes the value by less, which is no bound.
        max_matvecs: The most products, at least 1 ("power": 3).
        basis_size: "lanczos": the most vectors to hold, at least 16; memory is about
            `basis_size * operator.size` numbers. A longer run restarts from the best 12.
        seed: Of the random start.

    Returns:
        Both ends with their residuals.

    Raises:
        ValueError: The method is unknown or a number is out of its range.
    """
    if method not in get_args(EigenvalueMethod):
        raise ValueError(f"method must be one of {get_args(EigenvalueMethod)}, got {method!r}")
    if ends not in get_args(Ends):
        raise ValueError(f"ends must be one of {get_args(Ends)}, got {ends!r}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}")
    least = 1 if method == "lanczos" else 3
    if max_matvecs < least:
        raise ValueError(f"max_matvecs must be at least {least} for {method!r}, got {max_matvecs}")
    if basis_size < 16:
        raise ValueError(f"basis_size must be at least 16, got {basis_size}")
    probe = Probe(operator, seed)
    try:
        if method == "power":
            largest, smallest = _power(probe, ends, tolerance, max_matvecs)
        else:
            largest, smallest = _lanczos(probe, ends, tolerance, max_matvecs, basis_size)
    except NonFiniteProductError:
        largest = smallest = _End(math.nan, math.nan, converged=False)
    return ExtremalEigenvalues(
        lambda_max=largest.value,
        lambda_min=smallest.value,
        residual_max=largest.residual,
        residual_min=smallest.residual,
        matvecs=probe.matvecs,
        converged=largest.converged and (ends == "largest" or smallest.converged),
        method=method,
    )


class _End(NamedTuple):
    """One end of the spectrum."""

    value: float
    residual: float
    converged: bool


def _lanczos(
    probe: Probe, ends: Ends, tolerance: float, max_matvecs: int, basis_size: int
) -> tuple[_End, _End]:
    """Expand a Krylov space until both extremal Ritz values are accurate enough."""
    krylov = Lanczos(probe, min(basis_size, max_matvecs, probe.size), probe.guesses())
    while True:
        krylov.expand()
        values, coordinates = krylov.ritz()
        top, norm = abs(float(values[-1])), float(values.abs().max())
        largest = _end(krylov, values.flip(0), coordinates[:, -1], tolerance, scale=top)
        smallest = _end(krylov, values, coordinates[:, 0], tolerance, scale=norm)
        done = largest.converged and (ends == "largest" or smallest.converged)
        if done or probe.matvecs == max_matvecs:
            return largest, smallest
        if krylov.is_full:
            kept = [*range(_KEPT_AT_EACH_END), *range(-_KEPT_AT_EACH_END, 0)]
            krylov.restart(coordinates[:, kept])


def _end(
    krylov: Lanczos, values: Tensor, coordinates: Tensor, tolerance: float, scale: float
) -> _End:
    """Judge the first Ritz value by the smaller of the bounds r√k and r²/gap on its error.

    The second bound holds for a single eigenvalue. Early Ritz values lie further apart than the
    eigenvalues, so it counts only once r/scale is below the root of the tolerance.
    """
    r, allowed = krylov.residual_norm * abs(float(coordinates[-1])), tolerance * scale
    mixed = krylov.multiplicity(coordinates)
    converged = r * math.sqrt(mixed) <= allowed
    if mixed == 1 and len(values) > 1:
        gap = float((values[0] - values[1]).abs())
        converged |= r * r <= allowed * min(gap, scale)
    return _End(float(values[0]), r, converged)


def _power(probe: Probe, ends: Ends, tolerance: float, max_matvecs: int) -> tuple[_End, _End]:
    """Find the spectral radius, then each end with the spectrum shifted by it."""
    vector, radius, quotient = probe.unit_vector(), math.inf, 0.0
    while probe.matvecs < max_matvecs // 3:
        product = probe.multiply(vector)
        quotient = float(vector @ product)
        radius, last = float(torch.linalg.vector_norm(product)), radius
        if radius == 0 or abs(radius - last) <= tolerance * radius:
            break
        vector = product / radius

    def start(sign: int) -> Tensor:
        # The vector found may hold next to nothing of the other end.
        return vector if sign * quotient > 0 else probe.unit_vector()

    largest = _power_end(probe, start(1), radius, tolerance, max_matvecs - 1)
    # One more product gives the other end a value, if a crude one.
    rest = max_matvecs if ends == "both" else probe.matvecs + 1
    return largest, _power_end(probe, start(-1), -radius, tolerance, rest)


def _power_end(
    probe: Probe, vector: Tensor, shift: float, tolerance: float, max_matvecs: int
) -> _End:
    """Iterate with A + shift I until the Rayleigh quotient of A settles."""
    value = math.inf
    while True:
        product = probe.multiply(vector)
        value, last = float(vector @ product), value
        residual = float(torch.linalg.vector_norm(product - value * vector))
        scale = abs(value) if shift > 0 else abs(shift)
        rounding = 10 * torch.finfo(probe.dtype).eps * scale
        converged = residual <= rounding or abs(value - last) <= tolerance * scale
        if converged or probe.matvecs >= max_matvecs:
            return _End(value, residual, converged)
        vector = product + shift * vector
        vector = vector / torch.linalg.vector_norm(vector)
