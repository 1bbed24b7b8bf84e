"""Suggests configurations by tree-structured Parzen estimators (TPE).

    next configuration = f(search, space, optimizer, earlier configurations and their results)

The function has no state: each suggestion builds a study from the earlier results, and its
sampler's seed is derived from the seed of the search, the optimizer and the number of the
suggestion. A restarted driver therefore continues the search of its predecessor. The earlier
results themselves are not reproducible when trials run in parallel: which trials have ended when
the next suggestion is made depends on timing. With one trial at a time
(``resources.max_concurrent: 1``) the whole search is reproducible.

The first quarter of the suggestions, at most ten, is random; optimizers that have an axis of the
sweep in common get the same values of it.

Source: Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"; with two objectives
Ozaki et al. 2022, "Multiobjective tree-structured Parzen estimator"; both as in Optuna. A trial in
progress counts as a bad one until it has ended (the "constant liar"), so that parallel suggestions
spread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from workers.spec import Axis, Configuration, Range, Space, TpeSearch, Value

__all__ = ["TriedConfiguration", "suggest_configuration"]

optuna.logging.set_verbosity(optuna.logging.WARNING)

_MAX_RANDOM = 10
"""Optuna's default."""
_MAX_REPEATS = 10
"""Suggestions known already before another configuration is drawn at random: where few are left,
TPE suggests the best ones again and again."""


@dataclass(frozen=True, slots=True)
class TriedConfiguration:
    """A configuration that was suggested before.

    Args:
        configuration: A value of each axis.
        values: One per objective, never NaN; None while its trials run, or if all failed.
        has_ended: Whether all of its trials have ended.
    """

    configuration: Configuration
    values: Sequence[float] | None
    has_ended: bool


def suggest_configuration(
    search: TpeSearch, space: Space, label: str, past: Sequence[TriedConfiguration]
) -> Configuration:
    """The next configuration of an optimizer, different from all earlier ones.

    Args:
        search: Objectives, seed, and number of configurations.
        space: Axes of the optimizer, with more configurations than there are suggestions so far.
        label: Label of the optimizer.
        past: All suggestions so far, in order.
    """
    n_random = min(_MAX_RANDOM, -(-search.trials // 4))
    is_random = len(past) < n_random
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=n_random,
        constant_liar=True,
        seed=_seed(search.seed, "" if is_random else label, len(past)),
    )
    study = optuna.create_study(
        directions=[objective.direction for objective in search.objectives], sampler=sampler
    )
    distributions = {name: _distribution(axis) for name, axis in space.axes.items()}
    for tried in past:
        study.add_trial(_as_trial(tried, space, distributions))
    seen = {tried.configuration for tried in past}
    for _ in range(_MAX_REPEATS):
        trial = study.ask(distributions)
        configuration = Configuration(
            (name, _value(space.axes[name], drawn)) for name, drawn in trial.params.items()
        )
        if configuration not in seen:
            return configuration
        study.tell(trial, state=TrialState.FAIL)
    return space.draw_other(seen, _seed(search.seed, label, len(past)))


def _distribution(axis: Axis) -> BaseDistribution:
    """An axis as a distribution of Optuna; a choice by its index, as it may be a list."""
    if not isinstance(axis, Range):
        return CategoricalDistribution(range(len(axis)))
    is_log = axis.scale == "log"
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=is_log)
    return FloatDistribution(axis.low, axis.high, log=is_log)


def _value(axis: Axis, drawn: Any) -> Value:
    """The value of an axis that a parameter of Optuna stands for."""
    value: Value = drawn if isinstance(axis, Range) else axis[drawn]
    return value


def _as_trial(
    tried: TriedConfiguration, space: Space, distributions: Mapping[str, BaseDistribution]
) -> FrozenTrial:
    """A configuration and its result as a trial of Optuna."""
    params = {
        name: value if isinstance(axis := space.axes[name], Range) else axis.index(value)
        for name, value in tried.configuration.items()
    }
    if not tried.has_ended:
        state = TrialState.RUNNING
    else:
        state = TrialState.FAIL if tried.values is None else TrialState.COMPLETE
    return create_trial(
        state=state,
        params=params,
        distributions=dict(distributions),
        values=tried.values if state is TrialState.COMPLETE else None,
    )


def _seed(seed: int, label: str, number: int) -> int:
    """32 bits that differ between searches, optimizers and suggestions."""
    digest = hashlib.sha256(f"{seed} {number} {label}".encode()).digest()
    return int.from_bytes(digest[:4])
