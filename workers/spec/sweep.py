"""The specification of a sweep, as submitted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from pydantic import ValidationInfo, model_validator

from workers.catalog import datasets
from workers.scores import ScoreName
from workers.spec.axes import set_options
from workers.spec.code import check_code, code_names, files_of
from workers.spec.configuration import Configuration, Value
from workers.spec.fields import STORED, PartError, Section, is_stored
from workers.spec.optimizer_facts import check_declared_facts
from workers.spec.ranges import Range
from workers.spec.search import GridSearch, Objective, RandomSearch, TpeSearch
from workers.spec.sweep_rules import (
    require_distinct_trials,
    require_known_ood_sets,
    require_measurable_objectives,
    require_measured_splits,
    require_model_of_task,
    require_plain_steps,
    require_reusable,
    require_time_before_stopping,
    require_unaugmented,
)
from workers.spec.sweep_sections import SweepSections
from workers.spec.trial import TrialConfig
from workers.tasks import TASKS

__all__ = ["SweepSpec"]

_MAX_TRIALS = 100_000
"""Trials of a sweep; the service has a lower limit of its own (``SASAM_MAX_TRIALS``)."""


class SweepSpec(SweepSections):
    """Optimizers x configurations x seeds, on one model and data set."""

    @model_validator(mode="after")
    def _of_one_task(self, info: ValidationInfo) -> SweepSpec:
        """Require a model for the data, and settings that make sense for them."""
        if is_stored(info):
            return self
        require_model_of_task(self)
        task = datasets.task(self.dataset.name)
        if task is not None and not TASKS[task].is_augmented:
            if "augmentation" not in self.training.model_fields_set:
                plain = self.training.model_copy(update={"augmentation": "none"})
                self.__dict__["training"] = plain
            require_unaugmented(self)
        require_known_ood_sets(self)
        return self

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
        self.__dict__["_spaces"] = self._resolve(info.context)
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
    def _consistent(self, info: ValidationInfo) -> SweepSpec:
        if not is_stored(info):
            require_distinct_trials(self)
        require_measured_splits(self)
        require_plain_steps(self)
        require_time_before_stopping(self)
        require_reusable(self)
        require_measurable_objectives(self)
        return self

    def configuration_count(self, label: str) -> int:
        """Number of configurations of an optimizer, each with every seed."""
        size = self.space(label).size
        return int(size if isinstance(self.search, GridSearch) else min(self.search.trials, size))

    @cached_property
    def trial_count(self) -> int:
        """Number of trials of the sweep."""
        return sum(map(self.configuration_count, self.labels)) * len(self.seeds)

    def configurations(self, label: str) -> list[Configuration]:
        """The configurations of an optimizer, by their numbers; empty for a TPE search."""
        if isinstance(self.search, GridSearch):
            return list(self.space(label).enumerate())
        if isinstance(self.search, RandomSearch):
            common = [
                name
                for name, axis in self.search.written.items()
                if isinstance(axis, Range | tuple)
            ]
            return self.space(label).draw(self.search.trials, self.search.seed, common)
        return []

    def expected_configurations(self, label: str) -> list[Configuration]:
        """As many configurations of an optimizer as a search will try, drawn at random for TPE."""
        if not isinstance(self.search, TpeSearch):
            return self.configurations(label)
        return self.space(label).draw(self.search.trials, self.search.seed, ())

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
            for configuration in self.space(label).corners()
        )

    def trial(self, label: str, configuration: Mapping[str, Value], seed: int) -> TrialConfig:
        """A trial of this sweep.

        Args:
            label: Label of its optimizer.
            configuration: A value of each axis of the optimizer.
            seed: One of the seeds.
        """
        settings = {**self.space(label).fixed, **configuration}
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

    def configuration_at(self, position: int) -> tuple[str, int]:
        """Label of the optimizer, and number of the configuration, of the trial at a position."""
        return self._order[position % len(self._order)]

    @property
    def _score_of_trials(self) -> ScoreName | None:
        """The score if trials depend on it and it is not the data set's own, else None."""
        is_used = self.curvature is not None and self.curvature.at_best
        is_usual = self.scored_by.name == datasets.default_score(self.dataset.name)
        return self.scored_by.name if is_used and not is_usual else None

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
            plain = self.by_label[label] if section == "optimizer" else getattr(self, section)
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
            for label, optimizer in self.by_label.items()
        }

    @cached_property
    def _sections(self) -> dict[tuple[str, str, Configuration], Section]:
        """Sections of trials that were made so far."""
        return {}

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
