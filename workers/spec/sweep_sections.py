"""The sections of a sweep, and the settings that they give to its trials."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from operator import not_
from typing import Annotated, Any

from pydantic import Field, field_validator

from workers.catalog import datasets
from workers.scores import SCORES, Score, ScoreName
from workers.spec.axes import Axis, read_axis
from workers.spec.code import Sources
from workers.spec.configuration import Value
from workers.spec.fields import STORED, Flag, Label, PartError, Section, Seed, Tags, Unique
from workers.spec.optimizers import OptimizerSpec
from workers.spec.resolution import resolve_spaces
from workers.spec.search import AshaSpec, GridSearch, SearchSpec
from workers.spec.sections import (
    CurvatureSpec,
    DatasetSpec,
    LimitsSpec,
    ModelSpec,
    OodSpec,
    ResourcesSpec,
    TrainingSpec,
)
from workers.spec.spaces import Space
from workers.spec.variants import Variant

__all__ = ["SweepSections"]

_MAX_OPTIMIZERS = 100


class SweepSections(Section):
    """The sections of a sweep, and the space of each optimizer."""

    name: Label
    """Sweeps of one name share an MLflow experiment."""
    dataset: DatasetSpec
    """The data."""
    ood: OodSpec | None = OodSpec()
    """The corrupted test set, which is out of distribution; null measures none."""
    model: ModelSpec
    """The network."""
    optimizers: tuple[OptimizerSpec, ...] = Field(min_length=1, max_length=_MAX_OPTIMIZERS)
    """Optimizers by name, or with options; variants of one have labels."""
    search: SearchSpec = GridSearch()
    """How configurations are chosen, and the axes in which they differ."""
    seeds: Unique[Seed] = (0,)
    """Every configuration runs with each of them."""
    training: TrainingSpec = TrainingSpec()
    """How one trial trains."""
    curvature: CurvatureSpec | None = CurvatureSpec()
    """Measurement of the Hessian; null measures nothing."""
    score: Annotated[ScoreName | None, Field(exclude_if=not_)] = None
    """What ranks configurations, ``accuracy`` or ``loss``; absent, that of the data set: the loss
    for text, the accuracy for images."""
    early_stopping: AshaSpec | None = None
    """Stop trials that fall behind; absent, every trial runs to its end."""
    resources: ResourcesSpec = ResourcesSpec()
    """Resources of one trial."""
    limits: LimitsSpec = LimitsSpec()
    """Retries and limits."""
    priority: Annotated[int, Field(ge=-1000, le=1000, strict=True)] = 0
    """Higher starts first."""
    reuse: Annotated[Flag, Field(exclude_if=not_)] = False
    """Take over results of other sweeps: of trials with the same key that ended with the same code,
    libraries, kind of device and data."""
    tags: Tags = Field(default_factory=dict)
    """Own tags, set on the sweep and its runs in MLflow."""
    files: Annotated[Sources, Field(exclude_if=not_)] = Field(default_factory=dict)
    """Python files of the user's own optimizers, models and data sets, by their names."""

    @field_validator("optimizers")
    @classmethod
    def _distinct(cls, value: tuple[OptimizerSpec, ...]) -> tuple[OptimizerSpec, ...]:
        labels = Counter(optimizer.label or optimizer.name for optimizer in value)
        repeated = [label for label, count in labels.items() if count > 1]
        if repeated:
            raise ValueError(
                f"must have every label once; repeated: {', '.join(repeated)} (give variants of "
                "one optimizer a label)"
            )
        seen: dict[str, str] = {}
        for position, optimizer in enumerate(value):
            label = optimizer.label or optimizer.name
            other = seen.setdefault(optimizer.model_dump_json(exclude={"label"}), label)
            if other != label:
                message = f"must differ from {other} in more than its label"
                raise PartError((position,), message, label)
        return value

    @property
    def scored_by(self) -> Score:
        """What ranks configurations."""
        return SCORES[self.score or datasets.default_score(self.dataset.name)]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the optimizers in tables and figures, in order."""
        return tuple(self.by_label)

    def axes(self, label: str) -> dict[str, Axis]:
        """The axes of an optimizer: those of the search in order, then its own.

        Args:
            label: Label of the optimizer.

        Returns:
            The values, or the range to search, by the name of the axis: ``learning_rate``,
            ``weight_decay``, or a dotted path such as ``optimizer.momentum``.
        """
        return dict(self.space(label).axes)

    def space(self, label: str) -> Space:
        """The configurations that the search can give to an optimizer."""
        return self._spaces[label]

    def place(self, label: str, axis: str, value: Value) -> tuple[int | str, ...]:
        """Location of a value of a setting in the specification.

        Args:
            label: Label of an optimizer.
            axis: Dotted path of the setting, an axis or not.
            value: The value.
        """
        space = self.space(label)
        return space.place(axis, value) if axis in space.places else tuple(axis.split("."))

    def possible_values(self, label: str, axis: str) -> tuple[Value, ...]:
        """Values that a setting has in trials of an optimizer; of numbers the ends suffice."""
        space = self.space(label)
        if axis in space.places:
            return space.representatives(axis)
        return (read_axis(self, axis),)

    @cached_property
    def _spaces(self) -> dict[str, Space]:
        """The space of each optimizer, by label; resolved again in a copy."""
        return self._resolve(STORED)

    def _resolve(self, context: Any) -> dict[str, Space]:
        """The space of each optimizer, with its values validated in a context."""
        sections = {"training": self.training, "model": self.model, "dataset": self.dataset}
        return resolve_spaces(self.search, self.by_label, sections, context)

    @cached_property
    def by_label(self) -> dict[str, OptimizerSpec]:
        """The optimizers by their labels, in order."""
        return {optimizer.label or optimizer.name: optimizer for optimizer in self.optimizers}

    def variant(self, label: str) -> Variant:
        """An optimizer with its space."""
        return Variant(self.by_label[label], self.space(label))
