"""Cost of measuring curvature, from a specification."""

from __future__ import annotations

from service.sweeps.schemas import CurvatureCostView
from workers.spec import SweepSpec

__all__ = ["curvature_costs"]

_PRODUCT_GRADIENTS = 2
"""Gradients that a Hessian-vector product costs, about: it differentiates a gradient once more."""
_ASCENT_GRADIENTS = 27
"""20 steps of auto-PGD, and one gradient after each of at most 7 returns to the best point."""
_SAMPLES = 20
_SEARCH_PASSES = 6
"""Forward passes of the search for the critical step, about: Kalra et al. 2026."""


def curvature_costs(specification: SweepSpec) -> list[CurvatureCostView]:
    """The cost of each quantity in one trial with the epochs of ``training``.

    Hessian-vector products are the most that are made; the search for the critical step is typical.
    """
    spec = specification.curvature
    if spec is None:
        return []
    epochs = specification.training.epochs
    between = 0 if spec.every == "end" else (epochs - 1) // spec.every
    times = between + 1 + spec.at_best
    at_state = between + 1  # the best weights are kept without the optimizer's state
    products = spec.max_matvecs * _PRODUCT_GRADIENTS
    on_splits = spec.images * len(spec.splits)
    sharpness = spec.sharpness_images
    known = {
        "trace": (times, on_splits, products, 0),
        "lambda_max": (times, on_splits, products, 0),
        "stability_ratio": (at_state, spec.images, products, 0),
        "worst_case_sharpness": (times, sharpness, _ASCENT_GRADIENTS, 2),
        "average_case_sharpness": (times, sharpness, 0, _SAMPLES + 1),
        "gradient_noise_scale": (times, spec.images, 1, 0),
        "critical_sharpness": (epochs, spec.images, 0, _SEARCH_PASSES),
    }
    return [
        CurvatureCostView(
            quantity=quantity,
            measurements=count,
            images=images,
            gradient_evaluations=gradients,
            forward_passes=passes,
        )
        for quantity in spec.metrics
        for count, images, gradients, passes in (known[quantity],)
    ]
