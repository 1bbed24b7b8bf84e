"""The specification of a sweep, as submitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from itertools import combinations
from operator import not_
from typing import Annotated

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from workers.catalog import datasets, models
from workers.corruptions.names import CORRUPTIONS
from workers.scores import SCORES, Score, ScoreName
from workers.spec.axes import Axis, read_axis, set_options
from workers.spec.code import Sources, check_code, code_names, files_of
from workers.spec.configuration import Configuration, Value
from workers.spec.fields import (
    STORED,
    Label,
    PartError,
    Section,
    Seed,
    Tags,
    Unique,
    is_stored,
)
from workers.spec.optimizer_facts import check_declared_facts
from workers.spec.optimizers import OptimizerSpec
from workers.spec.ranges import Range
from workers.spec.resolution import resolve_spaces
from workers.spec.search import (
    AshaSpec,
    GridSearch,
    Objective,
    RandomSearch,
    SearchSpec,
    TpeSearch,
)
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
from workers.spec.stepping_optimizers import SASAM, SASGD
from workers.spec.trial import TrialConfig
from workers.spec.variants import Variant, could_share_trials
from workers.tasks import TASKS

__all__ = ["SweepSpec"]

_MAX_OPTIMIZERS = 100
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

    @model_validator(mode="after")
    def _of_one_task(self, info: ValidationInfo) -> SweepSpec:
        """Require a model for the data, and settings that make sense for them."""
        if is_stored(info):
            return self
        task, own = datasets.task(self.dataset.name), models.task(self.model.name)
        if task is not None and own is not None and task != own:
            fitting = [name for name in models.entries() if models.task(name) == task]
            message = (
                f"must be a model for {task}, as {self.dataset.name} is (such as "
                f"{', '.join(fitting)}); {self.model.name} is for {own}"
            )
            raise PartError(("model", "name"), message, self.model.name)
        if task is not None and not TASKS[task].is_augmented:
            self._without_augmentation(task)
        known = datasets.known_facts(self.dataset.name).get("ood_sets")
        chosen = self.ood.corruptions if self.ood is not None else ()
        for position, name in enumerate(chosen if isinstance(chosen, tuple) else ()):
            allowed = known if known is not None else None if task == "text" else CORRUPTIONS
            if allowed is not None and name not in allowed:
                message = f"unknown OOD set {name!r} of {self.dataset.name} (known: "
                message += f"{', '.join(allowed)})"
                raise PartError(("ood", "corruptions", position), message, name)
        return self

    def _without_augmentation(self, task: str) -> None:
        """Train on unchanged examples; refuse an augmentation that was asked for.

        Raises:
            PartError: There is one.
        """
        setting, allowed = "training.augmentation", "none"
        if "augmentation" not in self.training.model_fields_set:
            plain = self.training.model_copy(update={"augmentation": allowed})
            self.__dict__["training"] = plain
        for label in self.labels:
            for value in self._possible(label, setting):
                if value != allowed:
                    message = f"must be {allowed}: {task} is not augmented"
                    raise PartError(self.place(label, setting, value), message, value)

    @model_validator(mode="after")
    def _guided_by_score(self) -> SweepSpec:
        """Let a search and early stopping that name no metric use the score."""
        metric = self.scored_by.val_metric
        search, stopping = self.search, self.early_stopping
        if isinstance(search, TpeSearch) and "objectives" not in search.model_fields_set:
            objectives = (Objective.model_validate(metric),)
            self.__dict__["search"] = search.model_copy(update={"objectives": objectives})
        if stopping is not None and "metric" not in stopping.model_fields_set:
            self.__dict__["early_stopping"] = stopping.model_copy(update={"metric": metric})
        return self

    @model_validator(mode="after")
    def _resolved(self, info: ValidationInfo) -> SweepSpec:
        sections = {"training": self.training, "model": self.model, "dataset": self.dataset}
        spaces = resolve_spaces(self.search, self._by_label, sections, info.context)
        self.__dict__["_spaces"] = spaces
        return self

    @model_validator(mode="after")
    def _with_code(self, info: ValidationInfo) -> SweepSpec:
        if not is_stored(info):
            names = code_names(self)
            check_code(names, self.files)
            for location, name in names.items():
                if location[0] == "optimizers" and name.file:
                    check_declared_facts(name, self.files[name.file])
        return self

    @model_validator(mode="after")
    def _countable(self, info: ValidationInfo) -> SweepSpec:
        if self.trial_count > _MAX_TRIALS and not is_stored(info):
            counts = {label: self.configuration_count(label) for label in self.labels}
            message = (
                f"must lead to at most {_MAX_TRIALS:,} trials: {_factors(counts)} x "
                f"{len(self.seeds):,} seeds"
            )
            raise PartError(("search",), message, self.trial_count)
        return self

    @model_validator(mode="after")
    def _without_common_trials(self, info: ValidationInfo) -> SweepSpec:
        """Refuse variants of an optimizer whose trials could have equal keys."""
        variants: dict[str, list[str]] = {}
        for label, optimizer in self._by_label.items():
            variants.setdefault(optimizer.name, []).append(label)
        for labels in () if is_stored(info) else variants.values():
            for one, other in combinations(labels, 2):
                if could_share_trials(self, self._variant(one), self._variant(other)):
                    message = (
                        f"must have no trial in common with {one}: give an option or an axis of "
                        "the two other values"
                    )
                    place = ("optimizers", self.labels.index(other))
                    raise PartError(place, message, other)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> SweepSpec:
        if self.curvature and self.ood is None and "ood" in self.curvature.splits:
            raise PartError(
                ("curvature", "splits"),
                "must be [validation]: the sweep has no ood section",
                list(self.curvature.splits),
            )
        for label, optimizer in self._by_label.items():
            if isinstance(optimizer, SASAM | SASGD):
                self._require_unchanged_steps(label, optimizer)
        return self

    def _require_unchanged_steps(self, label: str, optimizer: SASAM | SASGD) -> None:
        """Refuse settings of training that conflict with a measured step size.

        Raises:
            PartError: There is one.
        """
        for key, allowed in _LEFT_TO_ADAPTIVE_METHODS.items():
            of_schedule = key != "gradient_clipping"
            if of_schedule and optimizer.scheduled:
                continue
            for chosen in self._possible(label, f"training.{key}"):
                if chosen != allowed:
                    hint = ", or give it scheduled: true" if of_schedule else ""
                    raise PartError(
                        self.place(label, f"training.{key}", chosen),
                        f"must be {'absent' if allowed is None else allowed}: {optimizer.name} "
                        "measures its own step size (sweep the other optimizers on their own"
                        f"{hint})",
                        chosen,
                    )

    @model_validator(mode="after")
    def _searchable(self) -> SweepSpec:
        stopping = self.early_stopping
        shortest = min(
            epochs
            for label in self.labels
            for epochs in self._possible(label, "training.epochs")
            if isinstance(epochs, int)
        )
        if stopping is not None and stopping.grace_epochs >= shortest:
            message = f"must be below training.epochs, {shortest}"
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
    def scored_by(self) -> Score:
        """What ranks configurations."""
        return SCORES[self.score or datasets.default_score(self.dataset.name)]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the optimizers in tables and figures, in order."""
        return tuple(self._by_label)

    def axes(self, label: str) -> dict[str, Axis]:
        """The axes of an optimizer: those of the search in order, then its own.

        Args:
            label: Label of the optimizer.

        Returns:
            The values, or the range to search, by the name of the axis: ``learning_rate``,
            ``weight_decay``, or a dotted path such as ``optimizer.momentum``.
        """
        return dict(self._spaces[label].axes)

    def space(self, label: str) -> Space:
        """The configurations that the search can give to an optimizer."""
        return self._spaces[label]

    def configuration_count(self, label: str) -> int:
        """Number of configurations of an optimizer, each with every seed."""
        size = self._spaces[label].size
        return int(size if isinstance(self.search, GridSearch) else min(self.search.trials, size))

    @cached_property
    def trial_count(self) -> int:
        """Number of trials of the sweep."""
        return sum(map(self.configuration_count, self.labels)) * len(self.seeds)

    def configurations(self, label: str) -> list[Configuration]:
        """The configurations of an optimizer, by their numbers; empty for a TPE search."""
        if isinstance(self.search, GridSearch):
            return list(self._spaces[label].enumerate())
        if isinstance(self.search, RandomSearch):
            common = [
                name
                for name, axis in self.search.written.items()
                if isinstance(axis, Range | tuple)
            ]
            return self._spaces[label].draw(self.search.trials, self.search.seed, common)
        return []

    def expected_configurations(self, label: str) -> list[Configuration]:
        """As many configurations of an optimizer as a search will try, drawn at random for TPE."""
        if not isinstance(self.search, TpeSearch):
            return self.configurations(label)
        return self._spaces[label].draw(self.search.trials, self.search.seed, ())

    @cached_property
    def trials(self) -> tuple[TrialConfig, ...]:
        """Every trial that is known before the sweep runs, in the order they start.

        Seeds are outermost and optimizers innermost, so that the heatmaps of all optimizers fill
        evenly and the first seed completes a whole grid. Empty for a TPE search.
        """
        if isinstance(self.search, TpeSearch):
            return ()
        known = {label: self.configurations(label) for label in self.labels}
        return tuple(
            self.trial(label, known[label][number], seed)
            for seed in self.seeds
            for label, number in self._order
        )

    @property
    def corners(self) -> tuple[TrialConfig, ...]:
        """Trials at the ends of the axes of a TPE search, which show whether its trials can run.

        For each optimizer one with the largest value of every axis, and one with each other choice
        or end of one axis; empty for another search.
        """
        if not isinstance(self.search, TpeSearch):
            return ()
        return tuple(
            self.trial(label, configuration, self.seeds[0])
            for label in self.labels
            for configuration in self._spaces[label].corners()
        )

    def trial(self, label: str, configuration: Mapping[str, Value], seed: int) -> TrialConfig:
        """A trial of this sweep.

        Args:
            label: Label of its optimizer.
            configuration: A value of each axis of the optimizer.
            seed: One of the seeds.
        """
        settings = {**self._spaces[label].fixed, **configuration}
        parts = {
            "optimizer": self._with_settings("optimizer", label, settings),
            "learning_rate": settings["learning_rate"],
            "weight_decay": settings["weight_decay"],
            "seed": seed,
            "dataset": self._with_settings("dataset", label, settings),
            "ood": self.ood,
            "model": self._with_settings("model", label, settings),
            "training": self._with_settings("training", label, settings),
            "curvature": self.curvature,
            "score": self._score_of_trials,
            "files": self._files[label],
        }
        return TrialConfig.of_accepted_sweep(parts)

    def expand(
        self, label: str, number: int, configuration: Mapping[str, Value]
    ) -> dict[int, TrialConfig]:
        """The trials of an optimizer's configuration by their positions, one per seed.

        Args:
            label: Label of the optimizer.
            number: Number of the configuration among those of the optimizer, from 0.
            configuration: A value of each axis of the optimizer.
        """
        first, stride = self._places[label, number], len(self._order)
        return {
            first + stride * at: self.trial(label, configuration, seed)
            for at, seed in enumerate(self.seeds)
        }

    @property
    def _score_of_trials(self) -> ScoreName | None:
        """The score if trials depend on it and it is not the data set's own, else None."""
        is_used = self.curvature is not None and self.curvature.at_best
        is_usual = self.scored_by.name == datasets.default_score(self.dataset.name)
        return self.scored_by.name if is_used and not is_usual else None

    def place(self, label: str, axis: str, value: Value) -> tuple[int | str, ...]:
        """Location of a value of a setting in the specification.

        Args:
            label: Label of an optimizer.
            axis: Dotted path of the setting, an axis or not.
            value: The value.
        """
        space = self._spaces[label]
        return space.place(axis, value) if axis in space.places else tuple(axis.split("."))

    def _possible(self, label: str, axis: str) -> tuple[Value, ...]:
        """Values that a setting has in trials of an optimizer; of numbers the ends suffice."""
        space = self._spaces[label]
        if axis in space.places:
            return space.representatives(axis)
        return (read_axis(self, axis),)

    def _variant(self, label: str) -> Variant:
        return Variant(self._by_label[label], self._spaces[label])

    def _with_settings(self, section: str, label: str, settings: Mapping[str, Value]) -> Section:
        """A section of a trial with the settings of its configuration; equal ones are shared."""
        prefix = f"{section}."
        chosen = Configuration(
            (name.removeprefix(prefix), value)
            for name, value in settings.items()
            if name.startswith(prefix)
        )
        of = label if section == "optimizer" else ""
        known = self._sections.get((section, of, chosen))
        if known is None:
            plain = self._by_label[label] if section == "optimizer" else getattr(self, section)
            if getattr(plain, "search", None) is not None:
                plain = plain.model_copy(update={"search": None})
            known = set_options(plain, chosen, STORED) if chosen else plain
            self._sections[section, of, chosen] = known
        return known

    @cached_property
    def _files(self) -> dict[str, dict[str, str]]:
        """The sources that the trials of each optimizer need, by its label."""
        return {
            label: files_of(code_names(self, optimizer).values(), self.files)
            for label, optimizer in self._by_label.items()
        }

    @cached_property
    def _by_label(self) -> dict[str, OptimizerSpec]:
        return {optimizer.label or optimizer.name: optimizer for optimizer in self.optimizers}

    @cached_property
    def _sections(self) -> dict[tuple[str, str, Configuration], Section]:
        """Sections of trials that were made so far."""
        return {}

    @cached_property
    def _spaces(self) -> dict[str, Space]:
        """The space of each optimizer, by label; resolved again in a copy."""
        sections = {"training": self.training, "model": self.model, "dataset": self.dataset}
        return resolve_spaces(self.search, self._by_label, sections, STORED)

    @cached_property
    def _order(self) -> tuple[tuple[str, int], ...]:
        """Label and number of each configuration, in the order in which those of a seed start.

        Optimizers alternate; one with fewer configurations is spread evenly among the others.
        """
        counts = {label: self.configuration_count(label) for label in self.labels}
        pairs = [(label, number) for label, count in counts.items() for number in range(count)]
        return tuple(sorted(pairs, key=lambda pair: (pair[1] + 0.5) / counts[pair[0]]))

    @cached_property
    def _places(self) -> dict[tuple[str, int], int]:
        """Position of each configuration in the order."""
        return {pair: position for position, pair in enumerate(self._order)}


def _factors(counts: Mapping[str, int]) -> str:
    """The number of configurations of all optimizers, by label, as text."""
    first = next(iter(counts.values()))
    if set(counts.values()) == {first}:
        return f"{len(counts):,} optimizers x {first:,} configurations"
    named = ", ".join(f"{label} {count:,}" for label, count in counts.items())
    return f"{sum(counts.values()):,} configurations ({named})"
