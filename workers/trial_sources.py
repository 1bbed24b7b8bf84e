"""Sources of a sweep's remaining trials: a plan (grid, random) or a TPE search.

    trial source -> SweepSearcher -> Tune -> journal -> trial source

Tune's own OptunaSearch cannot replace `TpeTrials`: it keeps its study in a pickle that only
`Tuner.restore` reads, does not restore its random state, and has neither a budget per optimizer nor
a mean over seeds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from itertools import count
from typing import Protocol

from workers.journal import Journal, Suggestion
from workers.metrics import Outcome
from workers.scores import score_of_metric
from workers.spec import Objective, SweepSpec, TpeSearch, TrialConfig
from workers.tpe import TriedConfiguration, suggest_configuration

__all__ = ["PlannedTrials", "TpeTrials", "TrialSource", "remaining_trials"]


class TrialSource(Protocol):
    """The remaining trials of a sweep, in the order they start."""

    @property
    def left(self) -> int:
        """Number of remaining trials."""
        ...

    def take(self) -> TrialConfig:
        """Remove and return the next trial; requires ``left > 0``."""
        ...


def remaining_trials(
    specification: SweepSpec, journal: Journal, chance_accuracy: float
) -> TrialSource:
    """The trials of a sweep that have not ended according to the journal, or that failed.

    Args:
        specification: Specification of the sweep.
        journal: Journal of the sweep so far.
        chance_accuracy: Accuracy of guessing, which gives the score of a diverged trial.
    """
    if isinstance(specification.search, TpeSearch):
        return TpeTrials(specification, specification.search, journal, chance_accuracy)
    return PlannedTrials(trial for trial in specification.trials if _is_left(trial, journal))


class PlannedTrials:
    """A fixed list of trials."""

    def __init__(self, trials: Iterable[TrialConfig]) -> None:
        self._queue = deque(trials)

    @property
    def left(self) -> int:
        """Number of remaining trials."""
        return len(self._queue)

    def take(self) -> TrialConfig:
        """Remove and return the next trial."""
        return self._queue.popleft()


class TpeTrials:
    """Trials of a TPE search, each configuration with every seed.

    A suggestion is written to the journal before any of its trials runs, and the search learns from
    the journal alone: a diverged trial has the accuracy or the loss of a uniform guess, as in
    summaries, a pruned one its last values; a failed one is left out of the mean over seeds.

    Args:
        specification: Specification of the sweep.
        search: Search section of the specification.
        journal: Journal of the sweep so far.
        chance_accuracy: Accuracy of guessing.
    """

    def __init__(
        self,
        specification: SweepSpec,
        search: TpeSearch,
        journal: Journal,
        chance_accuracy: float,
    ) -> None:
        self._specification = specification
        self._search = search
        self._journal = journal
        self._chance_accuracy = chance_accuracy
        self._keys: dict[Suggestion, list[str]] = {}
        suggested = (trial for s in journal.suggestions for trial in self._expand(s))
        self._queue = deque(trial for trial in suggested if _is_left(trial, journal))

    @property
    def left(self) -> int:
        """Number of remaining trials, including those without a suggestion yet."""
        specification = self._specification
        counts = map(specification.configuration_count, specification.labels)
        return len(self._queue) + (sum(counts) - len(self._keys)) * len(specification.seeds)

    def take(self) -> TrialConfig:
        """Remove and return the next trial, of the optimizer with the fewest suggestions."""
        if not self._queue:
            made = Counter(suggestion.label for suggestion in self._keys)
            specification = self._specification
            unfinished = (
                label
                for label in specification.labels
                if made[label] < specification.configuration_count(label)
            )
            self._queue.extend(self._suggest(min(unfinished, key=made.__getitem__)))
        return self._queue.popleft()

    def _suggest(self, label: str) -> list[TrialConfig]:
        """Suggest a configuration of an optimizer, record it, and return its trials."""
        earlier = [suggestion for suggestion in self._keys if suggestion.label == label]
        past = [self._tried(suggestion) for suggestion in earlier]
        space = self._specification.space(label)
        found = suggest_configuration(self._search, space, label, past)
        taken = {suggestion.number for suggestion in earlier}  # a recovered journal can have gaps
        number = next(number for number in count() if number not in taken)
        self._journal.append("suggestion", label=label, number=number, configuration=found.plain())
        return self._expand(self._journal.suggestions[-1])

    def _expand(self, suggestion: Suggestion) -> list[TrialConfig]:
        """The trials of a suggestion, one per seed."""
        found = self._specification.expand(
            suggestion.label, suggestion.number, suggestion.configuration
        )
        self._keys[suggestion] = [trial.key for trial in found.values()]
        return list(found.values())

    def _tried(self, suggestion: Suggestion) -> TriedConfiguration:
        """The result of a suggestion: the mean of each objective over the seeds that have ended."""
        outcomes = {key: self._journal.outcomes.get(key) for key in self._keys[suggestion]}
        counted = [
            key for key, outcome in outcomes.items() if outcome not in (None, Outcome.FAILED)
        ]
        values = [
            sum(self._value(key, objective) for key in counted) / len(counted)
            for objective in (self._search.objectives if counted else ())
        ]
        has_ended = None not in outcomes.values()
        return TriedConfiguration(suggestion.configuration, values or None, has_ended)

    def _value(self, key: str, objective: Objective) -> float:
        """Value of an objective for a trial that has ended; the worst value if it is missing."""
        score = score_of_metric(objective.metric)
        worst = float("inf") if score is None else score.guess(self._chance_accuracy)
        if self._journal.outcomes[key] is Outcome.DIVERGED:
            return worst
        value = self._journal.metrics.get(key, {}).get(objective.metric, worst)
        return value if score is None else score.at_least_guess(value, self._chance_accuracy)


def _is_left(trial: TrialConfig, journal: Journal) -> bool:
    """Whether a trial must still run."""
    return journal.outcomes.get(trial.key) in (None, Outcome.FAILED)
