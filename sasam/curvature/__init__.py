"""The Hessian of a trained network: its trace, extremal eigenvalues and spectral density."""

from sasam.curvature.choice import HESSIAN_OPERATORS, HessianMethod, choose_hessian_method
from sasam.curvature.density import SpectralDensity, estimate_spectral_density
from sasam.curvature.differences import GradientDifferenceOperator
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
    "HESSIAN_OPERATORS",
    "BlockOperator",
    "EigenvalueMethod",
    "Ends",
    "ExtremalEigenvalues",
    "GradientDifferenceOperator",
    "HessianMethod",
    "HessianOperator",
    "LayerTrace",
    "SpectralDensity",
    "SymmetricOperator",
    "TraceEstimate",
    "TraceMethod",
    "choose_hessian_method",
    "estimate_extremal_eigenvalues",
    "estimate_spectral_density",
    "estimate_trace",
]
