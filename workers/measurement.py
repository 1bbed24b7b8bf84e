"""Curvature of the loss at a trial's weights: trace and largest eigenvalue of the Hessian.

The loss is the mean cross-entropy without weight decay and label smoothing, of the network in eval
mode, at the precision of the weights, on class-balanced images without augmentation: a subset of
the validation set, and one of the corrupted test set, spread evenly over corruptions and
severities. All trials of a sweep are measured on the same images.

A network without a second derivative in torch is measured by differences of gradients; the record
has ``hessian_by_differences``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sasam.curvature import (
    HESSIAN_OPERATORS,
    HessianMethod,
    SymmetricOperator,
    choose_hessian_method,
    estimate_extremal_eigenvalues,
    estimate_trace,
)
from workers.datasets import ImageSet, TokenSet, stratified_subset
from workers.spec import CurvatureSpec
from workers.trial_data import TrialData

__all__ = ["CurvatureMeasurement"]

_SEED = 0  # of the images and of the probes: the same for all trials


class CurvatureMeasurement:
    """Measures networks on the same images; one per trial.

    Args:
        spec: Quantities and tolerances.
        data: The trial's images.
        normalise: Maps uint8 images to what a network takes.
        device: The network's device.
    """

    def __init__(
        self,
        spec: CurvatureSpec,
        data: TrialData,
        normalise: Callable[[Tensor], Tensor],
        device: torch.device,
    ) -> None:
        self._spec = spec
        self._batches = {
            name: [_on_device(_choose(name, spec.images, data), normalise, device)]
            for name in spec.splits
        }
        self._method: HessianMethod | None = None

    def measure(self, model: nn.Module, *, suffix: str = "") -> dict[str, float]:
        """Measure a network; every key of the result ends with ``suffix``.

        Quantities may be non-finite, such as those of a network with a non-finite loss.
        """
        metrics: dict[str, float] = {}
        for name, batches in self._batches.items():
            if self._method is None:
                self._method = choose_hessian_method(model, F.cross_entropy, *batches[0])
            operator = HESSIAN_OPERATORS[self._method](model, F.cross_entropy, batches)
            found = self._quantities(operator)
            found["hessian_by_differences"] = float(self._method == "differences")
            metrics |= {f"{key}.{name}{suffix}": value for key, value in found.items()}
        return metrics

    def _quantities(self, operator: SymmetricOperator) -> dict[str, float]:
        spec = self._spec
        found: dict[str, float] = {"hessian_matvecs": 0}
        if "trace" in spec.metrics:
            trace = estimate_trace(
                operator,
                method=spec.trace_method,
                relative_standard_error=spec.trace_tolerance,
                max_matvecs=max(3, spec.max_matvecs),
                seed=_SEED,
            )
            found["hessian_trace"] = trace.value
            found["hessian_trace_stderr"] = trace.standard_error
            found["hessian_matvecs"] += trace.matvecs
        if "lambda_max" in spec.metrics:
            ends = estimate_extremal_eigenvalues(
                operator,
                method=spec.eigenvalue_method,
                tolerance=spec.eigenvalue_tolerance,
                max_matvecs=max(3, spec.max_matvecs),
                seed=_SEED,
            )
            found["hessian_lambda_max"] = ends.lambda_max
            found["hessian_lambda_max_residual"] = ends.residual_max
            found["hessian_matvecs"] += ends.matvecs
        return found


def _choose(split: str, size: int, data: TrialData) -> ImageSet | TokenSet:
    if split == "validation":
        return stratified_subset(data.validation, size, seed=_SEED)
    if data.ood is None:
        raise ValueError("curvature.splits names ood, but the trial has no corrupted test set")
    return data.ood.stratified_subset(size, seed=_SEED)


def _on_device(
    examples: ImageSet | TokenSet, normalise: Callable[[Tensor], Tensor], device: torch.device
) -> tuple[Tensor, Tensor]:
    inputs = normalise(torch.from_numpy(examples.inputs).to(device))
    return inputs, torch.from_numpy(examples.labels).to(device).long()
