"""Configuration of one trial with its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from operator import not_
from typing import Annotated, Any

from pydantic import Field

from workers.catalog import datasets
from workers.own_code.sources import digest
from workers.scores import SCORES, Score, ScoreName
from workers.spec.axes import read_axis
from workers.spec.code import Sources
from workers.spec.configuration import Configuration
from workers.spec.fields import STORED, NonNegative, Positive, Section, Seed
from workers.spec.optimizers import OptimizerSpec
from workers.spec.sections import CurvatureSpec, DatasetSpec, ModelSpec, OodSpec, TrainingSpec

__all__ = ["TrialConfig"]


class TrialConfig(Section):
    """All settings that determine a trial's result.

    Settings that only decide where and when it runs (resources, limits, priority) are not included.
    """

    optimizer: OptimizerSpec
    learning_rate: Positive | None
    """None: the optimizer's own default."""
    weight_decay: NonNegative | None
    """None: the optimizer's own default."""
    seed: Seed
    dataset: DatasetSpec
    ood: OodSpec | None
    model: ModelSpec
    training: TrainingSpec
    curvature: CurvatureSpec | None
    score: Annotated[ScoreName | None, Field(exclude_if=not_)] = None
    """What selects the best epoch, if curvature is measured there; None: that of the data set."""
    files: Annotated[Sources, Field(exclude_if=not_)] = Field(default_factory=dict)
    """Sources of the user's own code that the trial runs; part of the key."""

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
    def scored_by(self) -> Score:
        """What selects the best epoch."""
        return SCORES[self.score or datasets.default_score(self.dataset.name)]

    def values_of(self, axes: Iterable[str]) -> Configuration:
        """The trial's value of each axis, by the names of the axes."""
        return Configuration((axis, read_axis(self, axis)) for axis in axes)

    @property
    def optimizer_label(self) -> str:
        """Label of the optimizer in tables and figures."""
        return self.optimizer.label or self.optimizer.name

    def describe(self) -> dict[str, Any]:
        """The configuration as a flat mapping of dotted names to plain values.

        A file is described by the first 64 bits of the SHA-256 of its source, in hex.
        """
        files = {name: digest(source) for name, source in self.files.items()}
        plain = self.model_dump(mode="json")
        return dict(_flatten(plain | ({"files": files} if files else {})))


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted names and leaves of a nested mapping."""
    if isinstance(value, dict) and value:
        return [
            leaf
            for name, child in value.items()
            for leaf in _flatten(child, f"{prefix}.{name}" if prefix else str(name))
        ]
    return [(prefix, value)]
