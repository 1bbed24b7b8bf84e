"""Names, units and directions of everything a trial measures.

A trial reports one flat record per epoch. The names here are the keys of that record and of
MLflow's metrics; a suffix after a dot names the split (``hessian_trace.ood``), the corruption
(``ood_accuracy.fog``) or the further test set (``test_accuracy.cifar10.1-v6``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ["CURVATURE_CURVES", "METRICS", "RESULTS", "SPLITS", "Metric", "Outcome", "is_metric"]

SPLITS: tuple[str, ...] = ("validation", "ood")


class Outcome(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    """The loss became NaN or infinite: a result."""
    PRUNED = "pruned"
    """Early stopping ended it."""
    FAILED = "failed"
    """It raised an error or ran out of memory, and has no retries left."""
    CANCELLED = "cancelled"


RESULTS = frozenset({Outcome.COMPLETED, Outcome.DIVERGED, Outcome.PRUNED})
"""Outcomes after which a trial does not run again."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured quantity.

    Args:
        name: Its key.
        title: Its name in tables and figures.
        better: The direction of better values; None if there is none.
        when: Measured after every epoch, or at the end (and every few epochs if requested).
        unit: Unit; empty for pure numbers.
    """

    name: str
    title: str
    better: Literal["higher", "lower"] | None
    when: Literal["epoch", "end"]
    unit: str = ""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("epoch", "Epoch", None, "epoch"),
        Metric("train_loss", "Training loss", "lower", "epoch"),
        Metric("train_accuracy", "Training accuracy", "higher", "epoch"),
        Metric("val_loss", "Validation loss", "lower", "epoch"),
        Metric("val_accuracy", "Validation accuracy", "higher", "epoch"),
        Metric("val_brier", "Validation Brier score", "lower", "epoch"),
        Metric("val_ece", "Validation calibration error (ECE)", "lower", "epoch"),
        Metric("step_size", "Step size", None, "epoch"),
        Metric("perturbation_radius", "Perturbation radius", None, "epoch"),
        Metric("smoothness", "Local smoothness", None, "epoch"),
        Metric("critical_sharpness", "Critical sharpness", "lower", "epoch"),
        Metric("gradient_evaluations", "Gradient evaluations", "lower", "epoch"),
        Metric("skipped_steps", "Skipped steps", "lower", "epoch"),
        Metric("images_per_second", "Throughput", "higher", "epoch", "images/s"),
        Metric("ood_accuracy", "OOD accuracy", "higher", "end"),
        Metric("ood_loss", "OOD loss", "lower", "end"),
        Metric("ood_brier", "OOD Brier score", "lower", "end"),
        Metric("ood_ece", "OOD calibration error (ECE)", "lower", "end"),
        Metric("test_accuracy", "Accuracy", "higher", "end"),
        Metric("test_loss", "Loss", "lower", "end"),
        Metric("test_brier", "Brier score", "lower", "end"),
        Metric("test_ece", "Calibration error (ECE)", "lower", "end"),
        Metric("hessian_trace", "Tr(H)", "lower", "end"),
        Metric("hessian_trace_stderr", "Standard error of Tr(H)", "lower", "end"),
        Metric("hessian_lambda_max", "λmax(H)", "lower", "end"),
        Metric("hessian_lambda_max_residual", "Residual of λmax(H)", "lower", "end"),
        Metric("hessian_matvecs", "Hessian-vector products", "lower", "end"),
        Metric("stability_ratio", "Stability ratio", None, "end"),
        Metric("worst_case_sharpness", "Worst-case m-sharpness", "lower", "end"),
        Metric("average_case_sharpness", "Average-case m-sharpness", "lower", "end"),
        Metric("gradient_noise_scale", "Gradient noise scale", None, "end", "images"),
        # 1 where torch has no second derivative of the network, else 0.
        Metric("hessian_by_differences", "Hessian by gradient differences", None, "end"),
    )
}


CURVATURE_CURVES = (
    *(f"hessian_trace.{split}" for split in SPLITS),
    *(f"hessian_lambda_max.{split}" for split in SPLITS),
    *("critical_sharpness", "stability_ratio", "worst_case_sharpness", "average_case_sharpness"),
    "gradient_noise_scale",
)
"""Curvature that a trial can measure in more than one epoch."""


def is_metric(key: str) -> bool:
    """Whether ``key`` of a record is a metric, with or without a suffix."""
    return key.partition(".")[0] in METRICS
