"""The largest and the smallest eigenvalue of a symmetric operator.

Lanczos (the default) takes both ends from one Krylov space: after m products the extremal Ritz
values θ of T = V'AV are the best that any method reaches with m products from one start. A Ritz
pair has the residual |A u − θ u| = β |s_m|, so an eigenvalue lies within that distance, and within
its square over the gap to the rest of the spectrum. The gap is known only once the next
eigenvalues have Ritz values, so this second bound judges λ_min alone, whose tolerance is coarser,
and only near the tolerance.

A small residual does not prove that this eigenvalue is the extremal one. A random vector has so
small a component along each eigenvector that the first Ritz value at an end may be the mean of the
bulk, with a small residual, before the eigenvalues beyond it appear. A mixture of k eigenvectors
hides an eigenvalue at distance d from a residual below d/√k. So both methods multiply the residual
by √k, and estimate k from the component of the random start along the vector found. An operator may
also offer guesses of its extremal eigenvectors, with which Lanczos then starts.

Power iteration (the paper's, Appendix A) finds the eigenvalue of largest magnitude, which is not
the largest one where λ_min < −λ_max. Here it first estimates the spectral radius ρ and then
iterates with A + ρI, whose eigenvalues are not negative, for λ_max, and with A − ρI for λ_min. It
raises ρ whenever a product |A v| exceeds it. Departures from the usual form: it stops on the
residual and not on the change of the value, which is small wherever convergence is slow; and it
adds no constant to the norms that it divides by, which would shrink small eigenvalues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from sasam.curvature._lanczos import Lanczos, estimate_multiplicity
from sasam.curvature.operators import NonFiniteProductError, Probe, SymmetricOperator

__all__ = ["EigenvalueMethod", "Ends", "ExtremalEigenvalues", "estimate_extremal_eigenvalues"]

EigenvalueMethod = Literal["lanczos", "power"]
Ends = Literal["both", "largest"]

# Ritz vectors kept at each end when the basis is full.
_KEPT_AT_EACH_END = 6
# Residual per tolerance up to which the bound r²/gap counts: `docs/benchmarks-curvature.md`.
_MAX_RESIDUAL_RATIO = 3.0


@dataclass(frozen=True, slots=True)
class ExtremalEigenvalues:
    """Both ends of a spectrum.

    Attributes:
        lambda_max: The largest algebraic eigenvalue; NaN if a product was not finite.
        lambda_min: The smallest algebraic eigenvalue; NaN if a product was not finite.
        residual_max: |A u − λ_max u| of the unit vector u found: some eigenvalue is that near.
        residual_min: The same for λ_min.
        matvecs: The number of products used.
        converged: Whether the estimated error of each end asked for is within its tolerance. This
            is an estimate: no method excludes an eigenvalue that its vectors do not contain.
        method: The method used.
        absolute_tolerance_max: The error allowed for λ_max: `tolerance * |λ_max|`.
        absolute_tolerance_min: The error allowed for λ_min, which is relative to the spectral
            radius and not to λ_min: `tolerance * max(|λ_max|, |λ_min|)`. Where λ_max is 60 times
            larger, a tolerance of 0.001 therefore allows 6 % of λ_min.
    """

    lambda_max: float
    lambda_min: float
    residual_max: float
    residual_min: float
    matvecs: int
    converged: bool
    method: EigenvalueMethod
    absolute_tolerance_max: float
    absolute_tolerance_min: float


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
        ends: The ends that must reach the tolerance. "largest" takes about half the products; the
            result then still has the estimate of λ_min that these products give.
        tolerance: The error allowed, above 0: for λ_max relative to |λ_max|, for λ_min relative to
            the larger magnitude of both ends, because λ_min is often close to 0. The result has
            both in absolute terms. Ask for a smaller tolerance where λ_min itself matters.
        max_matvecs: The most products, at least 1 ("power": 3). Power iteration needs several
            times as many as Lanczos, and often more than the default where the gap is small.
        basis_size: "lanczos": the most vectors to hold, at least 16; memory is about
            `basis_size * operator.size` numbers. A longer run restarts from the best 12.
        seed: The seed of the random start.

    Returns:
        Both ends with their residuals and tolerances.

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
        absolute_tolerance_max=tolerance * abs(largest.value),
        absolute_tolerance_min=tolerance * max(abs(largest.value), abs(smallest.value)),
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
        largest = _largest(krylov, values, coordinates, tolerance)
        smallest = _smallest(krylov, values, coordinates, tolerance)
        done = largest.converged and (ends == "largest" or smallest.converged)
        if done or probe.matvecs == max_matvecs:
            return largest, smallest
        if krylov.is_full:
            kept = [*range(_KEPT_AT_EACH_END), *range(-_KEPT_AT_EACH_END, 0)]
            krylov.restart(coordinates[:, kept])


def _largest(krylov: Lanczos, values: Tensor, coordinates: Tensor, tolerance: float) -> _End:
    """Judge the last Ritz value by the bound r√k on its error.

    The sharper bound r²/gap would accept the mean of two close eigenvalues, or the second one, from
    a Ritz vector with a residual of about √tolerance, before the largest has a Ritz value.
    """
    value, residual, error = _ritz_error(krylov, values, coordinates, -1)
    return _End(value, residual, error <= tolerance * abs(value))


def _smallest(krylov: Lanczos, values: Tensor, coordinates: Tensor, tolerance: float) -> _End:
    """Judge the first Ritz value by the bounds r√k and r²/gap on its error.

    The second bound holds for a single eigenvalue whose gap is that of the Ritz values, so the
    residual must be near the tolerance as well.
    """
    value, residual, error = _ritz_error(krylov, values, coordinates, 0)
    scale = float(values.abs().max())
    allowed = tolerance * scale
    converged = error <= allowed
    if error == residual <= _MAX_RESIDUAL_RATIO * allowed and len(values) > 1:
        gap = float(values[1] - values[0])
        converged |= residual**2 <= allowed * min(gap, scale)
    return _End(value, residual, converged)


def _ritz_error(
    krylov: Lanczos, values: Tensor, coordinates: Tensor, index: int
) -> tuple[float, float, float]:
    """Return a Ritz value, its residual r and the bound r√k on its error."""
    vector = coordinates[:, index]
    residual = krylov.residual_norm * abs(float(vector[-1]))
    return float(values[index]), residual, residual * math.sqrt(krylov.multiplicity(vector))


def _power(probe: Probe, ends: Ends, tolerance: float, max_matvecs: int) -> tuple[_End, _End]:
    """Estimate the spectral radius, then each end with the spectrum shifted by it."""
    random = vector = probe.unit_vector()
    radius, quotient = 0.0, 0.0
    while probe.matvecs < max_matvecs // 3:
        product = probe.multiply(vector)
        quotient = float(vector @ product)
        radius, last = float(torch.linalg.vector_norm(product)), radius
        if abs(radius - last) <= tolerance * radius:
            break
        vector = product / radius

    def start(sign: int) -> tuple[Tensor, Tensor]:
        # The vector found may have next to no component along the other end's eigenvector.
        if sign * quotient > 0:
            return random, vector
        other = probe.unit_vector()
        return other, other

    largest = _power_end(probe, *start(1), radius, 1, tolerance, max_matvecs - 1)
    # One more product gives the other end a value, if a crude one.
    rest = max_matvecs if ends == "both" else probe.matvecs + 1
    return largest, _power_end(probe, *start(-1), radius, -1, tolerance, rest)


def _power_end(
    probe: Probe,
    random: Tensor,
    vector: Tensor,
    radius: float,
    sign: int,
    tolerance: float,
    max_matvecs: int,
) -> _End:
    """Iterate with A + radius I (`sign` 1) or A − radius I (−1) until the residual is small.

    The vector is `random` itself or what products with A have made of it.
    """
    while True:
        product = probe.multiply(vector)
        value = float(vector @ product)
        residual = float(torch.linalg.vector_norm(product - value * vector))
        radius = max(radius, float(torch.linalg.vector_norm(product)))
        mixed = estimate_multiplicity(vector, random)
        rounding = 10 * torch.finfo(probe.dtype).eps * radius
        allowed = tolerance * (abs(value) if sign > 0 else radius)
        converged = residual <= rounding or residual * math.sqrt(mixed) <= allowed
        if converged or probe.matvecs >= max_matvecs:
            return _End(value, residual, converged)
        vector = torch.nn.functional.normalize(product + sign * radius * vector, dim=0, eps=0.0)
