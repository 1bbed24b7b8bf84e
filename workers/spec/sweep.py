"""The specification of a sweep: what a researcher POSTs."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from workers.spec.fields import Label, Section, Seed, Unique
from workers.spec.optimizers import OptimizerSpec
from workers.spec.search import GridSearch, SearchSpec
from workers.spec.sections import (
    CurvatureSpec,
    DatasetSpec,
    LimitsSpec,
    ModelSpec,
    OodSpec,
    ResourcesSpec,
    TrainingSpec,
)
from workers.spec.trial import TrialConfig

__all__ = ["SweepSpec"]

Tag = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SweepSpec(Section):
    """Optimizers x learning rates x weight decays x seeds, on one model and data set."""

    name: Label
    """Sweeps of one name share an MLflow experiment."""
    dataset: DatasetSpec
    ood: OodSpec | None = OodSpec()
    model: ModelSpec
    optimizers: tuple[OptimizerSpec, ...] = Field(min_length=1)
    search: SearchSpec = GridSearch()
    seeds: Unique[Seed] = (0,)
    training: TrainingSpec = TrainingSpec()
    curvature: CurvatureSpec | None = CurvatureSpec()
    resources: ResourcesSpec = ResourcesSpec()
    limits: LimitsSpec = LimitsSpec()
    priority: Annotated[int, Field(ge=-1000, le=1000, strict=True)] = 0
    """Higher starts first."""
    tags: dict[Label, Tag] = Field(default_factory=dict)

    @field_validator("optimizers")
    @classmethod
    def _distinct(cls, value: tuple[OptimizerSpec, ...]) -> tuple[OptimizerSpec, ...]:
        labels = [optimizer.label or optimizer.name for optimizer in value]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise ValueError(
                f"every label once; repeated: {', '.join(repeated)} (give variants of one "
                "optimizer a label)"
            )
        variants = [optimizer.model_copy(update={"label": None}) for optimizer in value]
        for position, variant in enumerate(variants):
            if variant in variants[:position]:
                raise ValueError(
                    f"{labels[position]} and {labels[variants.index(variant)]} are the same "
                    "optimizer with the same options"
                )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> SweepSpec:
        if self.curvature and self.ood is None and "ood" in self.curvature.splits:
            raise ValueError(
                "curvature.splits names ood, but the sweep has none (set ood, or leave "
                "curvature.splits at [validation])"
            )
        adaptive = [o.name for o in self.optimizers if o.name.startswith("sa-")]
        if adaptive and (self.training.schedule != "constant" or self.training.warmup_epochs):
            raise ValueError(
                f"{adaptive[0]} chooses its own step size: training.schedule must be constant and "
                "training.warmup_epochs 0 (sweep the scheduled optimizers on their own)"
            )
        return self

    @property
    def trial_count(self) -> int:
        """How many trials the sweep has."""
        return len(self.optimizers) * len(self.search.configurations()) * len(self.seeds)

    @cached_property
    def trials(self) -> tuple[TrialConfig, ...]:
        """Every trial, in the order they start.

        Seeds are outermost and optimizers innermost, so that every optimizer's heatmap fills
        evenly and a whole grid is there after the first seed.
        """
        return tuple(
            TrialConfig(
                optimizer=optimizer,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                seed=seed,
                dataset=self.dataset,
                ood=self.ood,
                model=self.model,
                training=self.training,
                curvature=self.curvature,
            )
            for seed in self.seeds
            for learning_rate, weight_decay in self.search.configurations()
            for optimizer in self.optimizers
        )
