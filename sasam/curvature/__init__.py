"""The Hessian of a trained network: its trace, extremal eigenvalues and spectral density."""

from sasam.curvature.density import SpectralDensity, estimate_spectral_density
from sasam.curvature.eigenvalues import (
    EigenvalueMethod,
    Ends,
    ExtremalEigenvalues,
    estimate_extremal_eigenvalues,
)
from sasam.curvature.hessian import HessianOperator
from sasam.curvature.operators import BlockOperator, SymmetricOperator
from sasam.curvature.trace import LayerTrace, TraceEstimate, TraceMethod, estimate_trace

__all__ = [
    "BlockOperator",
    "EigenvalueMethod",
    "Ends",
    "ExtremalEigenvalues",
    "HessianOperator",
    "LayerTrace",
    "SpectralDensity",
    "SymmetricOperator",
    "TraceEstimate",
    "TraceMethod",
    "estimate_extremal_eigenvalues",
    "estimate_spectral_density",
    "estimate_trace",
]
