"""The trace of a symmetric operator and its standard error, from products with random vectors.

    Hutchinson  mean of ω'Aω over random signs ω                (the paper's, Appendix A)
    Hutch++     Tr Q'AQ + mean of ω'(I−QQ')A(I−QQ')ω,           Q = orth(AΩ), Ω independent of ω
    XTrace      mean over i of Hutch++ with ω = ωᵢ and Q = orth(AΩ) without ωᵢ in Ω

A trained network's Hessian has few large eigenvalues; Hutch++ and XTrace take these exactly and
sample only the rest. All are unbiased. Hutch++ is the default: its samples are independent, so that
their spread is an honest standard error, and its memory does not grow with their number.

Sources: Hutchinson (1989); Meyer, Musco, Musco & Woodruff, "Hutch++: optimal stochastic trace
estimation" (SOSA 2021); Epperly, Tropp & Webber, "XTrace: making the most of every sample in
stochastic trace estimation" (SIMAX 2024). Departures: samples are added until the standard error
is small enough; a sketch that holds the whole range of A is exact; layers are estimated along.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from sasam.curvature._sampling import exact, hutchinson
from sasam.curvature._sketching import hutchpp, xtrace
from sasam.curvature.operators import NonFiniteProductError, Probe, SymmetricOperator

__all__ = ["LayerTrace", "TraceEstimate", "TraceMethod", "estimate_trace"]

TraceMethod = Literal["hutchpp", "xtrace", "hutchinson"]

_SAMPLERS = {"hutchpp": hutchpp, "xtrace": xtrace, "hutchinson": hutchinson}
# The fewest products that give one sample.
_LEAST_MATVECS = {"xtrace": 2, "hutchpp": 3, "hutchinson": 1}


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """The trace of one layer's diagonal block.

    Attributes:
        value: The estimate.
        standard_error: Its standard error.
    """

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class TraceEstimate:
    """A trace and how well it is known.

    Attributes:
        value: The estimate; NaN where a product was not finite.
        standard_error: Its standard error: 0 where the trace is exact, NaN where a single sample
            or a product that was not finite leaves it unknown.
        matvecs: The products used.
        converged: Whether the standard error is as small as was asked.
        method: The method asked for.
        layers: The trace of each layer asked for, by name.
    """

    value: float
    standard_error: float
    matvecs: int
    converged: bool
    method: TraceMethod
    layers: Mapping[str, LayerTrace]


def estimate_trace(
    operator: SymmetricOperator,
    *,
    method: TraceMethod = "hutchpp",
    relative_standard_error: float = 0.05,
    max_matvecs: int = 100,
    layers: Mapping[str, slice] | None = None,
    seed: int = 0,
) -> TraceEstimate:
    """Estimate the trace.

    An operator no larger than the budget has its diagonal added up instead, which is exact.

    Args:
        operator: The symmetric operator A.
        method: "hutchpp", "xtrace", or "hutchinson" as in the paper.
        relative_standard_error: Stop when the standard error, with a margin for how well it is
            known itself, is at most this fraction of the value's magnitude; at least 0.
        max_matvecs: Stop after that many products at the latest; at least 1 ("xtrace" 2, "hutchpp"
            3). Memory grows with it for "xtrace" alone, which holds about `1.1 * max_matvecs`
            vectors; "hutchpp" holds about 50, "hutchinson" 20.
        layers: Ranges of the weights by name, such as `HessianOperator.layers`, whose traces to
            estimate as well, from the same products. They do not delay the stop.
        seed: Of the random vectors; equal seeds give equal estimates.

    Returns:
        The estimate.

    Raises:
        ValueError: The method is unknown or a number is out of its range.
    """
    if method not in _SAMPLERS:
        raise ValueError(f"method must be one of {get_args(TraceMethod)}, got {method!r}")
    if not relative_standard_error >= 0:
        raise ValueError(
            f"relative_standard_error must be at least 0, got {relative_standard_error}"
        )
    least = min(_LEAST_MATVECS[method], max(1, operator.size))
    if max_matvecs < least:
        raise ValueError(f"max_matvecs must be at least {least} for {method!r}, got {max_matvecs}")
    layers = layers or {}
    probe = Probe(operator, seed)
    sampler = exact if operator.size <= max_matvecs else _SAMPLERS[method]
    unknown = [math.nan] * (1 + len(layers))
    means, errors, converged = unknown, unknown, False
    try:
        for samples in sampler(probe, list(layers.values()), max_matvecs):
            means, errors = samples.means.tolist(), samples.errors.tolist()
            # The error itself is known to 1/√(2(number−1)): without a margin, luck would stop it.
            margin = 1 + 1 / math.sqrt(2 * max(1, samples.number - 1))
            converged = errors[0] * margin <= relative_standard_error * abs(means[0])
            if converged:
                break
    except NonFiniteProductError:
        means, errors, converged = unknown, unknown, False
    return TraceEstimate(
        value=means[0],
        standard_error=errors[0],
        matvecs=probe.matvecs,
        converged=converged,
        method=method,
        layers=MappingProxyType(
            {
                name: LayerTrace(value, error)
                for name, value, error in zip(layers, means[1:], errors[1:], strict=True)
            }
        ),
    )
