"""From the specification to the trials that Tune runs.

    source -> SweepSearch -> Tune -> journal -> source

A source knows which trials are left: of a plan (grid, random) or, suggestion by suggestion, of a
TPE search. `SweepSearch` is Tune's view of it: it hands out trials as far as concurrency allows
and takes back those that are tried again later.

Tune's own OptunaSearch cannot do this: it keeps its study in a pickle that only `Tuner.restore`
reads, draws from one random state whatever was restored, knows no budget for each optimizer and no
mean over seeds. Tune's own retries start at once and count no causes.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, Protocol

from ray.tune.search import Searcher

from workers.journal import Journal, Suggestion
from workers.metrics import Outcome
from workers.spec import Objective, SweepSpec, TpeSearch, TrialConfig
from workers.tpe import Tried, suggest

__all__ = ["PlannedTrials", "SweepSearch", "TpeTrials", "TrialSource", "open_source"]


class TrialSource(Protocol):
    """The trials that are left."""

    @property
    def left(self) -> int:
        """How many there are."""
        ...

    def take(self) -> TrialConfig:
        """The next one; there is one left."""
        ...


def open_source(specification: SweepSpec, journal: Journal, chance_accuracy: float) -> TrialSource:
    """What is left of a sweep, by its journal: trials without an end, and failed ones.

    Args:
        specification: Of the sweep.
        journal: What happened so far.
        chance_accuracy: Accuracy of guessing, which a diverged trial counts as.
    """
    if isinstance(specification.search, TpeSearch):
        return TpeTrials(specification, specification.search, journal, chance_accuracy)
    return PlannedTrials(trial for trial in specification.trials if _is_left(trial, journal))


class PlannedTrials:
    """Trials that are known, in order."""

    def __init__(self, trials: Iterable[TrialConfig]) -> None:
        self._queue = deque(trials)

    @property
    def left(self) -> int:
        """How many there are."""
        return len(self._queue)

    def take(self) -> TrialConfig:
        """The next one."""
        return self._queue.popleft()


class TpeTrials:
    """Trials of a TPE search, each configuration with every seed.

    Every suggestion is in the journal before a trial of it runs, and what the search learns from
    is the journal: a diverged trial counts as chance or as infinitely bad, a pruned one as it was
    when it was stopped, a failed one is left out of the mean over seeds.

    Args:
        specification: Of the sweep.
        search: Its search.
        journal: What happened so far.
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
        begun = (trial for s in journal.suggestions for trial in self._expand(s))
        self._queue = deque(trial for trial in begun if _is_left(trial, journal))

    @property
    def left(self) -> int:
        """How many there are, suggested or not."""
        specification = self._specification
        configurations = self._search.trials * len(specification.labels) - len(self._keys)
        return len(self._queue) + configurations * len(specification.seeds)

    def take(self) -> TrialConfig:
        """The next one, of the optimizer with the fewest suggestions."""
        if not self._queue:
            made = Counter(suggestion.label for suggestion in self._keys)
            label = min(self._specification.labels, key=made.__getitem__)
            self._queue.extend(self._suggest(label))
        return self._queue.popleft()

    def _suggest(self, label: str) -> list[TrialConfig]:
        past = [self._tried(s) for s in self._keys if s.label == label]
        rate, decay = suggest(self._search, label, past)
        self._journal.append(
            "suggestion", label=label, number=len(past), learning_rate=rate, weight_decay=decay
        )
        return self._expand(self._journal.suggestions[-1])

    def _expand(self, suggestion: Suggestion) -> list[TrialConfig]:
        """The trials of a configuration, one a seed."""
        found = self._specification.expand(
            suggestion.label, suggestion.number, suggestion.configuration
        )
        self._keys[suggestion] = [trial.key for trial in found.values()]
        return list(found.values())

    def _tried(self, suggestion: Suggestion) -> Tried:
        """How a configuration went: the mean of each objective over the seeds that have one."""
        outcomes = {key: self._journal.outcomes.get(key) for key in self._keys[suggestion]}
        counted = [
            key for key, outcome in outcomes.items() if outcome not in (None, Outcome.FAILED)
        ]
        values = [
            sum(self._value(key, objective) for key in counted) / len(counted)
            for objective in (self._search.objectives if counted else ())
        ]
        return Tried(suggestion.configuration, values or None, None not in outcomes.values())

    def _value(self, key: str, objective: Objective) -> float:
        """An objective of a trial that has ended."""
        is_accuracy = objective.metric.endswith("accuracy")
        worst = self._chance_accuracy if is_accuracy else float("inf")
        if self._journal.outcomes[key] is Outcome.DIVERGED:
            return worst
        return self._journal.metrics.get(key, {}).get(objective.metric, worst)


class SweepSearch(Searcher):
    """Hands the trials of a source to Tune.

    Args:
        source: The trials.
        settings: The rest of a trial's configuration, the same for all.
        recorded: Last recorded epoch of each trial that has one.
        limit: How many trials may be out at the same time.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        source: TrialSource,
        settings: Mapping[str, Any],
        recorded: Mapping[str, int],
        limit: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._source = source
        self._settings = dict(settings)
        self._recorded = recorded
        self._limit = limit
        self._clock = clock
        self._out: set[str] = set()
        self._waiting: list[tuple[float, int, TrialConfig]] = []
        self._order = count()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for a restore that never happens here."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial; None for none now, FINISHED for none ever."""
        is_due = bool(self._waiting) and self._waiting[0][0] <= self._clock()
        if not (is_due or self._source.left):
            return None if self._out or self._waiting else self.FINISHED
        if len(self._out) >= self._limit():
            return None
        trial = heapq.heappop(self._waiting)[2] if is_due else self._source.take()
        self._out.add(trial_id)
        return {
            **self._settings,
            "trial": trial.model_dump(mode="json"),
            "recorded": self._recorded.get(trial.key, 0),
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Make room for another trial."""
        self._out.discard(trial_id)

    def put_back(self, trial: TrialConfig, pause_seconds: float) -> None:
        """Take back a trial that failed; it comes again after a pause, before all others."""
        heapq.heappush(self._waiting, (self._clock() + pause_seconds, next(self._order), trial))

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


def _is_left(trial: TrialConfig, journal: Journal) -> bool:
    """Whether a trial must still run."""
    return journal.outcomes.get(trial.key) in (None, Outcome.FAILED)
