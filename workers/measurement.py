"""Curvature of the loss at a trial's weights: of its Hessian, and along its training.

The loss is the mean cross-entropy without weight decay and label smoothing, of the network in eval
mode, at the precision of the weights, on class-balanced images without augmentation. Trace and
largest eigenvalue of the Hessian are measured on a subset of the validation set, and on one of the
corrupted test set, spread evenly over corruptions and severities; the quantities of
`_ON_TRAINING_IMAGES`, which describe training, on a subset of the training set. All trials of a
sweep are measured on the same images. Everything works on copies of the network with random numbers
of its own, so that training continues bit for bit as without it.

A network without a second derivative in torch is measured by differences of gradients; the record
has ``hessian_by_differences``.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from sasam.curvature import (
    GradientDifferenceOperator,
    HessianOperator,
    SymmetricOperator,
    UnknownStabilityError,
    average_case_sharpness,
    choose_hessian_operator,
    estimate_critical_sharpness,
    estimate_extremal_eigenvalues,
    estimate_gradient_noise,
    estimate_stability_ratio,
    estimate_trace,
    worst_case_sharpness,
)
from workers.datasets import ImageSet, TokenSet, stratified_subset
from workers.spec import CurvatureSpec
from workers.trial_data import TrialData

__all__ = ["CurvatureMeasurement"]

log = logging.getLogger(__name__)

_Batch = tuple[Tensor, Tensor]
_Hessian = HessianOperator | GradientDifferenceOperator

_ON_TRAINING_IMAGES = (
    *("critical_sharpness", "stability_ratio", "gradient_noise_scale"),
    *("worst_case_sharpness", "average_case_sharpness"),
)
_SHARPNESS_BATCH = 128
"""m of m-sharpness, as in Andriushchenko et al. 2023."""
_NOISE_BATCHES = 16
"""Batches whose gradients the noise scale compares."""
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
            for name in (spec.splits if spec.measures("trace", "lambda_max") else ())
        }
        self._training: list[_Batch] = []
        if set(_ON_TRAINING_IMAGES) & set(spec.metrics):
            images = stratified_subset(data.train, spec.images, seed=_SEED)
            self._training = [_on_device(images, normalise, device)]
        self._sharpness: list[_Batch] = []
        if spec.measures("worst_case_sharpness", "average_case_sharpness"):
            images = stratified_subset(data.train, spec.sharpness_images, seed=_SEED)
            # Sorted by class otherwise: a batch should hold all classes.
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(_SEED))
            self._sharpness = _whole_batches(
                _on_device(images, normalise, device), _SHARPNESS_BATCH, order
            )
        self._kind: type[_Hessian] | None = None

    def measure(
        self, model: nn.Module, optimizer: Optimizer | None = None, *, suffix: str = ""
    ) -> dict[str, float]:
        """Measure a network; every key of the result ends with ``suffix``.

        Quantities may be non-finite, such as those of a network with a non-finite loss.

        Args:
            model: The network; it stays as it is.
            optimizer: Its optimizer in its present state; None leaves out the stability ratio.
            suffix: End of every key.
        """
        metrics = self._training_quantities(model, optimizer, suffix)
        hessian: _Hessian | None = None
        for name, batches in self._batches.items():
            hessian = hessian or self._hessian(model, batches)
            found = self._quantities(hessian.on(batches))
            found["hessian_by_differences"] = float(self._kind is GradientDifferenceOperator)
            metrics |= {f"{key}.{name}{suffix}": value for key, value in found.items()}
        return metrics

    def critical_sharpness(
        self, model: nn.Module, before: Sequence[Tensor], *, step_size: float | None
    ) -> dict[str, float]:
        """Critical sharpness along the update that led to the present weights; empty if not asked.

        Args:
            model: The network after the update; it stays as it is.
            before: Its trainable weights before the update, in the order of its parameters.
            step_size: Step size of the update, in whose unit the sharpness is; None for 1.
        """
        if not self._spec.measures("critical_sharpness"):
            return {}
        start = copy.deepcopy(model)
        step_size = step_size or 1.0
        direction = []
        with torch.no_grad():
            trained = [p for p in start.parameters() if p.requires_grad]
            for parameter, weight in zip(trained, before, strict=True):
                direction.append((parameter - weight) / step_size)
                parameter.copy_(weight)
        found = estimate_critical_sharpness(
            start, F.cross_entropy, self._training, direction, guess=step_size
        )
        return {"critical_sharpness": found.value}

    def _hessian(self, model: nn.Module, batches: list[_Batch]) -> _Hessian:
        """The Hessian on the first two of some images, by a method that is chosen once."""
        inputs, targets = batches[0]
        if self._kind is not None:
            return self._kind(model, F.cross_entropy, [(inputs[:2], targets[:2])])
        chosen = choose_hessian_operator(model, F.cross_entropy, inputs, targets)
        self._kind = type(chosen)
        return chosen

    def _training_quantities(
        self, model: nn.Module, optimizer: Optimizer | None, suffix: str
    ) -> dict[str, float]:
        """The quantities on training images, but for the critical sharpness."""
        spec, found = self._spec, dict[str, float]()
        if spec.measures("stability_ratio") and optimizer is not None:
            try:
                found["stability_ratio"] = estimate_stability_ratio(
                    self._hessian(model, self._training).on(self._training),
                    optimizer,
                    model,
                    tolerance=spec.eigenvalue_tolerance,
                    max_matvecs=spec.max_matvecs,
                    seed=_SEED,
                ).value
            except UnknownStabilityError as error:
                log.warning("no stability ratio: %s", error)
        if spec.measures("worst_case_sharpness"):
            found["worst_case_sharpness"] = worst_case_sharpness(
                model, F.cross_entropy, self._sharpness, rho=spec.worst_case_radius, seed=_SEED
            ).value
        if spec.measures("average_case_sharpness"):
            found["average_case_sharpness"] = average_case_sharpness(
                model, F.cross_entropy, self._sharpness, rho=spec.average_case_radius, seed=_SEED
            ).value
        if spec.measures("gradient_noise_scale"):
            (whole,) = self._training
            order = torch.randperm(len(whole[1]), generator=torch.Generator().manual_seed(_SEED))
            size = max(1, len(order) // _NOISE_BATCHES)
            found["gradient_noise_scale"] = estimate_gradient_noise(
                model, F.cross_entropy, _whole_batches(whole, size, order)
            ).scale
        return {f"{name}{suffix}": value for name, value in found.items()}

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
                ends="largest",
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


def _whole_batches(whole: _Batch, size: int, order: Tensor) -> list[_Batch]:
    """Batches of one size in an order, without an incomplete last one; one if there are fewer."""
    size = min(size, len(order))
    chosen = order[: len(order) - len(order) % size].to(whole[1].device)
    inputs, targets = whole[0][chosen], whole[1][chosen]
    return list(zip(torch.split(inputs, size), torch.split(targets, size), strict=True))
