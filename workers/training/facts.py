"""Facts about a sweep that preflight finds, and their tags on the sweep's run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sasam.curvature import HessianMethod
from workers.mlflow_schema import fact_tag
from workers.training.conformance import Conformance

__all__ = ["PreflightFacts"]

_MAX_NOTE_CHARACTERS = 5_000  # MLflow refuses longer tags


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightFacts:
    """Facts about a sweep's network, data and optimizers.

    Args:
        hessian_method: How curvature is measured; None if it is not.
        parameters: Number of weights of the network.
        train_images: Number of training images.
        validation_images: Number of validation images.
        ood_images: Number of corrupted test images over all corruptions and severities.
        classes: Number of classes.
        data_fingerprint: Digest of the data.
        data_notes: Sentences about the data that a user should know.
        trial_memory_bytes: Memory of a trial: weights, activations and images, in bytes.
        optimizers: Cost, weight decay and defaults of each optimizer, by its label.
    """

    hessian_method: HessianMethod | None
    parameters: int
    train_images: int
    validation_images: int
    ood_images: int
    classes: int
    data_fingerprint: str
    data_notes: tuple[str, ...]
    trial_memory_bytes: int
    optimizers: Mapping[str, Conformance]

    def tags(self) -> dict[str, str]:
        """Tags of MLflow, one per fact; a journal's ``sweep_started`` entry holds them."""
        facts: dict[str, object] = {}
        if self.hessian_method is not None:
            facts["hessian_method"] = self.hessian_method
        facts |= {
            "parameters": self.parameters,
            "train_images": self.train_images,
            "validation_images": self.validation_images,
            "ood_images": self.ood_images,
            "classes": self.classes,
            "data_fingerprint": self.data_fingerprint,
            "data_notes": "; ".join(self.data_notes)[:_MAX_NOTE_CHARACTERS],
            "trial_memory_bytes": self.trial_memory_bytes,
        }
        for position, (label, found) in enumerate(self.optimizers.items()):
            facts[f"optimizer.{position}"] = json.dumps({"label": label, **asdict(found)})
        return {fact_tag(name): str(fact) for name, fact in facts.items()}
