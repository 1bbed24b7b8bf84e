"""The specification of a sweep, as submitted."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from workers.spec.fields import (
    KEPT_TEXT,
    Label,
    PartError,
    Section,
    Seed,
    Unique,
    is_stored,
    require_plain,
)
from workers.spec.optimizers import SASAM, SASGD, OptimizerSpec
from workers.spec.search import AshaSpec, Configuration, GridSearch, SearchSpec, TpeSearch
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

Tag = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(require_plain),
    KEPT_TEXT,
]

_RESERVED_TAGS = ("mlflow.", "sasam.")
_MAX_OPTIMIZERS = 100
_MAX_TAGS = 100
_MAX_TRIALS = 100_000
"""Trials of a sweep; the service has a lower limit of its own (``SASAM_MAX_TRIALS``)."""


_LEFT_TO_ADAPTIVE_METHODS = {"schedule": "constant", "warmup_epochs": 0, "gradient_clipping": None}
"""Settings that conflict with a step size measured from unchanged gradients."""


class SweepSpec(Section):
    """Optimizers x configurations x seeds, on one model and data set."""

    name: Label
    """Sweeps of one name share an MLflow experiment."""
    dataset: DatasetSpec
    """The images."""
    ood: OodSpec | None = OodSpec()
    """The corrupted test set, which is out of distribution; null measures none."""
    model: ModelSpec
    """The network."""
    optimizers: tuple[OptimizerSpec, ...] = Field(min_length=1, max_length=_MAX_OPTIMIZERS)
    """Optimizers by name, or with options; variants of one have labels."""
    search: SearchSpec = GridSearch()
    """Choice of learning rates and weight decays."""
    seeds: Unique[Seed] = (0,)
    """Every configuration runs with each of them."""
    training: TrainingSpec = TrainingSpec()
    """How one trial trains."""
    curvature: CurvatureSpec | None = CurvatureSpec()
    """Measurement of the Hessian; null measures nothing."""
    early_stopping: AshaSpec | None = None
    """Stop trials that fall behind; absent, every trial runs to its end."""
    resources: ResourcesSpec = ResourcesSpec()
    """Resources of one trial."""
    limits: LimitsSpec = LimitsSpec()
    """Retries and limits."""
    priority: Annotated[int, Field(ge=-1000, le=1000, strict=True)] = 0
    """Higher starts first."""
    tags: dict[Label, Tag] = Field(default_factory=dict, max_length=_MAX_TAGS)
    """Own tags, set on the sweep and its runs in MLflow."""

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

    @field_validator("tags")
    @classmethod
    def _storable(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if name.startswith(_RESERVED_TAGS):
                message = f"must not begin with {' or '.join(_RESERVED_TAGS)}: these are ours"
                raise PartError((name,), message, text)
        return value

    @model_validator(mode="after")
    def _countable(self, info: ValidationInfo) -> SweepSpec:
        if self.trial_count > _MAX_TRIALS and not is_stored(info):
            factors = (
                f"{len(self.optimizers):,} optimizers x {self.search.configuration_count:,} "
                f"configurations x {len(self.seeds):,} seeds"
            )
            message = f"must lead to at most {_MAX_TRIALS:,} trials: {factors}"
            raise PartError(("search",), message, self.trial_count)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> SweepSpec:
        if self.curvature and self.ood is None and "ood" in self.curvature.splits:
            raise PartError(
                ("curvature", "splits"),
                "must be [validation]: the sweep has no ood section",
                list(self.curvature.splits),
            )
        adaptive = [o for o in self.optimizers if isinstance(o, SASAM | SASGD)]
        for key, allowed in _LEFT_TO_ADAPTIVE_METHODS.items():
            chosen = getattr(self.training, key)
            of_schedule = key != "gradient_clipping"
            fighting = [o.name for o in adaptive if not (of_schedule and o.scheduled)]
            if fighting and chosen != allowed:
                hint = ", or give it scheduled: true" if of_schedule else ""
                raise PartError(
                    ("training", key),
                    f"must be {'absent' if allowed is None else allowed}: {fighting[0]} measures "
                    f"its own step size (sweep the other optimizers on their own{hint})",
                    chosen,
                )
        return self

    @model_validator(mode="after")
    def _searchable(self) -> SweepSpec:
        stopping = self.early_stopping
        if stopping is not None and stopping.grace_epochs >= self.training.epochs:
            message = f"must be below training.epochs, {self.training.epochs}"
            raise PartError(("early_stopping", "grace_epochs"), message, stopping.grace_epochs)
        objectives = self.search.objectives if isinstance(self.search, TpeSearch) else ()
        for position, objective in enumerate(objectives):
            location = ("search", "objectives", position)
            needed = objective.curvature_metric
            if needed is None:
                continue
            if stopping is not None:
                message = "cannot go with early_stopping: it is measured at the end of a trial"
                raise PartError(location, message, objective.metric)
            curvature = self.curvature
            if curvature is None or needed not in curvature.metrics:
                message = f"needs {needed} among curvature.metrics"
                raise PartError(location, message, objective.metric)
            if "validation" not in curvature.splits:
                message = "needs validation among curvature.splits"
                raise PartError(location, message, objective.metric)
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the optimizers in tables and figures, in order."""
        return tuple(self._by_label)

    @property
    def trial_count(self) -> int:
        """Number of trials of the sweep."""
        return len(self.optimizers) * self.search.configuration_count * len(self.seeds)

    @cached_property
    def trials(self) -> tuple[TrialConfig, ...]:
        """Every trial that is known before the sweep runs, in the order they start.

        Seeds are outermost and optimizers innermost, so that the heatmaps of all optimizers fill
        evenly and the first seed completes a whole grid. Empty for a TPE search.
        """
        return tuple(
            self.trial(label, configuration, seed)
            for seed in self.seeds
            for configuration in self.search.configurations()
            for label in self.labels
        )

    @property
    def corners(self) -> tuple[TrialConfig, ...]:
        """One trial per optimizer with the largest values of a TPE search; else empty."""
        if not isinstance(self.search, TpeSearch):
            return ()
        largest = self.search.largest
        return tuple(self.trial(label, largest, self.seeds[0]) for label in self.labels)

    def trial(self, label: str, configuration: Configuration, seed: int) -> TrialConfig:
        """A trial of this sweep.

        Args:
            label: Label of its optimizer.
            configuration: Learning rate and weight decay.
            seed: One of the seeds.
        """
        learning_rate, weight_decay = configuration
        parts = {
            "optimizer": self._by_label[label],
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "seed": seed,
            "dataset": self.dataset,
            "ood": self.ood,
            "model": self.model,
            "training": self.training,
            "curvature": self.curvature,
        }
        return TrialConfig.of_accepted_sweep(parts)

    def expand(
        self, label: str, number: int, configuration: Configuration
    ) -> dict[int, TrialConfig]:
        """The trials of an optimizer's configuration by their positions, one per seed.

        Args:
            label: Label of the optimizer.
            number: Number of the configuration among those of the optimizer, from 0.
            configuration: Learning rate and weight decay.
        """
        optimizers = len(self.optimizers)
        first = number * optimizers + self.labels.index(label)
        stride = self.search.configuration_count * optimizers
        return {
            first + stride * at: self.trial(label, configuration, seed)
            for at, seed in enumerate(self.seeds)
        }

    @cached_property
    def _by_label(self) -> dict[str, OptimizerSpec]:
        return {optimizer.label or optimizer.name: optimizer for optimizer in self.optimizers}
