"""The trace of a symmetric operator and its standard error, from products with random vectors.

    Hutchinson  mean of ω'Aω over random signs ω                (the paper's, Appendix A)
    Hutch++     Tr Q'AQ + mean of ω'(I−QQ')A(I−QQ')ω,           Q = orth(AΩ), Ω independent of ω
    XTrace      mean over i of Hutch++ with ω = ωᵢ and Q = orth(AΩ) without ωᵢ in Ω

A trained network's Hessian has few large eigenvalues; Hutch++ and XTrace take these exactly and
sample only the rest. All are unbiased for a fixed number of products. Hutch++ is the default: its
samples are independent, so that their spread gives their standard error directly, and its memory
does not grow with their number.

Sources: Hutchinson (1989); Meyer, Musco, Musco & Woodruff, "Hutch++: optimal stochastic trace
estimation" (SOSA 2021); Epperly, Tropp & Webber, "XTrace: making the most of every sample in
stochastic trace estimation" (SIMAX 2024). Departures: samples are added until the standard error
is small enough; a sketch that holds the whole range of A gives the exact trace; the trace of each
layer is estimated from the same products; XTrace's standard error takes its shared sketch into
account.

Stopping on an estimated standard error favours runs where chance made it small. So the first
estimate is made from 16 samples, the standard error must meet the target with a margin, and
intervals use Student's t. `docs/benchmarks-curvature.md` has the coverage found by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from scipy.special import stdtrit

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
    """A trace with its standard error.

    Attributes:
        value: The estimate; NaN if a product was not finite.
        standard_error: Its estimated standard error: 0 if the trace is exact, NaN if there is only
            one sample or a product was not finite.
        matvecs: The number of products used.
        converged: Whether the standard error, with a margin, is as small as was asked for.
        method: The method asked for.
        layers: The trace of each layer asked for, by name.
        degrees_of_freedom: Those of the standard error, for intervals with Student's t: the number
            of samples less 1; infinite if the trace is exact, 0 if a product was not finite.
    """

    value: float
    standard_error: float
    matvecs: int
    converged: bool
    method: TraceMethod
    layers: Mapping[str, LayerTrace]
    degrees_of_freedom: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the interval that contains the trace with this probability.

        In simulations 93 to 99 % of nominal 95 % intervals contain the trace, including those of
        runs that stopped early; 88 % where Hutchinson stops early and one eigenvalue dominates.

        Args:
            confidence: The probability, above 0 and below 1.

        Returns:
            The lower and the upper limit; NaN if the standard error is.

        Raises:
            ValueError: The confidence is out of its range.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be above 0 and below 1, got {confidence}")
        if self.standard_error == 0:
            return self.value, self.value
        quantile = float(stdtrit(self.degrees_of_freedom, (1 + confidence) / 2))
        half_width = quantile * self.standard_error
        return self.value - half_width, self.value + half_width


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

    If the operator's size is at most `max_matvecs`, its diagonal is summed instead, which is exact.

    Args:
        operator: The symmetric operator A.
        method: "hutchpp", "xtrace", or "hutchinson" as in the paper.
        relative_standard_error: Stop when the standard error, with a margin for its own
            uncertainty, is at most this fraction of the value's magnitude; at least 0.
        max_matvecs: The most products; at least 1 ("xtrace" 2, "hutchpp" 3). Only the memory of
            "xtrace" grows with it: it holds about `1.1 * max_matvecs` vectors, "hutchpp" and
            "hutchinson" about 50.
        layers: Ranges of the weights by name, such as `HessianOperator.layers`, whose traces are
            estimated from the same products. Their standard errors do not delay the stop.
        seed: The seed of the random vectors; equal seeds give equal estimates.

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
    means, errors, converged, freedom = unknown, unknown, False, 0.0
    try:
        for samples in sampler(probe, list(layers.values()), max_matvecs):
            means, errors = samples.means.tolist(), samples.errors.tolist()
            freedom = samples.number - 1
            # One standard deviation of the standard error itself, so that chance rarely stops it.
            margin = 1 + 1 / math.sqrt(2 * max(1, freedom))
            converged = errors[0] * margin <= relative_standard_error * abs(means[0])
            if converged:
                break
    except NonFiniteProductError:
        means, errors, converged, freedom = unknown, unknown, False, 0.0
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
        degrees_of_freedom=freedom,
    )
