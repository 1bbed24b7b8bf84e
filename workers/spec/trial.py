"""Configuration of one trial with its key."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from workers.spec.fields import STORED, NonNegative, Positive, Section, Seed
from workers.spec.optimizers import OptimizerSpec
from workers.spec.sections import CurvatureSpec, DatasetSpec, ModelSpec, OodSpec, TrainingSpec

__all__ = ["TrialConfig"]


class TrialConfig(Section):
    """All settings that determine a trial's result.

    Settings that only decide where and when it runs (resources, limits, priority) are not included.
    """

    optimizer: OptimizerSpec
    learning_rate: Positive
    weight_decay: NonNegative
    seed: Seed
    dataset: DatasetSpec
    ood: OodSpec | None
    model: ModelSpec
    training: TrainingSpec
    curvature: CurvatureSpec | None

    @classmethod
    def of_accepted_sweep(cls, data: dict[str, Any]) -> TrialConfig:
        """Read the configuration of a trial; its sweep was validated when it was submitted."""
        return cls.model_validate(data, context=STORED)

    @property
    def key(self) -> str:
        """Identity: the first 64 bits of the SHA-256 of the canonical configuration, in hex.

        ``optimizer.label``, ``optimizer.scheduled`` (which only permits the schedule in
        ``training``), ``dataset.placement`` and ``training.checkpoint_every`` do not change the
        result and are left out.
        """
        canonical = self.model_dump(
            mode="json",
            exclude={
                "optimizer": {"label", "scheduled"},
                "dataset": {"placement"},
                "training": {"checkpoint_every"},
            },
        )
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def optimizer_label(self) -> str:
        """Label of the optimizer in tables and figures."""
        return self.optimizer.label or self.optimizer.name

    def describe(self) -> dict[str, Any]:
        """The configuration as a flat mapping of dotted names to plain values."""
        return dict(_flatten(self.model_dump(mode="json")))


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted names and leaves of a nested mapping."""
    if isinstance(value, dict) and value:
        return [
            leaf
            for name, child in value.items()
            for leaf in _flatten(child, f"{prefix}.{name}" if prefix else str(name))
        ]
    return [(prefix, value)]
