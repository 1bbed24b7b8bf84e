"""Curvature of a network's loss: its Hessian, sharpness, stability of steps, gradient noise."""

from sasam.curvature.choice import (
    HESSIAN_OPERATORS,
    HessianMethod,
    choose_hessian_method,
    choose_hessian_operator,
)
from sasam.curvature.critical_sharpness import CriticalSharpness, estimate_critical_sharpness
from sasam.curvature.density import SpectralDensity, estimate_spectral_density
from sasam.curvature.differences import GradientDifferenceOperator
from sasam.curvature.eigenvalues import (
    EigenvalueMethod,
    Ends,
    ExtremalEigenvalues,
    estimate_extremal_eigenvalues,
)
from sasam.curvature.gradient_noise import GradientNoise, estimate_gradient_noise
from sasam.curvature.hessian import HessianOperator
from sasam.curvature.m_sharpness import Sharpness, average_case_sharpness, worst_case_sharpness
from sasam.curvature.operators import BlockOperator, SymmetricOperator
from sasam.curvature.stability import (
    PreconditionedOperator,
    StabilityCondition,
    StabilityRatio,
    UnknownStabilityError,
    estimate_stability_ratio,
    stability_condition,
)
from sasam.curvature.trace import LayerTrace, TraceEstimate, TraceMethod, estimate_trace

__all__ = [
    "HESSIAN_OPERATORS",
    "BlockOperator",
    "CriticalSharpness",
    "EigenvalueMethod",
    "Ends",
    "ExtremalEigenvalues",
    "GradientDifferenceOperator",
    "GradientNoise",
    "HessianMethod",
    "HessianOperator",
    "LayerTrace",
    "PreconditionedOperator",
    "Sharpness",
    "SpectralDensity",
    "StabilityCondition",
    "StabilityRatio",
    "SymmetricOperator",
    "TraceEstimate",
    "TraceMethod",
    "UnknownStabilityError",
    "average_case_sharpness",
    "choose_hessian_method",
    "choose_hessian_operator",
    "estimate_critical_sharpness",
    "estimate_extremal_eigenvalues",
    "estimate_gradient_noise",
    "estimate_spectral_density",
    "estimate_stability_ratio",
    "estimate_trace",
    "stability_condition",
    "worst_case_sharpness",
]
