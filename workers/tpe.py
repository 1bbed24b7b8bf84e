"""Suggests configurations by tree-structured Parzen estimators (TPE).

    next configuration = f(search, optimizer, earlier configurations and their results)

The function has no state: each suggestion builds a study from the earlier results, and its
sampler's seed is derived from the seed of the search, the optimizer and the number of the
suggestion. A restarted driver therefore continues the search of its predecessor. The earlier
results themselves are not reproducible when trials run in parallel: which trials have ended when
the next suggestion is made depends on timing. With one trial at a time
(``resources.max_concurrent: 1``) the whole search is reproducible.

The first quarter of the suggestions, at most ten, is random and the same for every optimizer.

Source: Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"; with two objectives
Ozaki et al. 2022, "Multiobjective tree-structured Parzen estimator"; both as in Optuna. A trial in
progress counts as a bad one until it has ended (the "constant liar"), so that parallel suggestions
spread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from workers.spec import Configuration, Range, TpeSearch, Value

__all__ = ["TriedConfiguration", "suggest_configuration"]

optuna.logging.set_verbosity(optuna.logging.WARNING)

_MAX_RANDOM = 10
"""Optuna's default."""


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
    search: TpeSearch, label: str, past: Sequence[TriedConfiguration]
) -> Configuration:
    """The next configuration of an optimizer, different from all earlier ones.

    Args:
        search: Ranges and objectives.
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
    space = _space(search)
    for tried in past:
        study.add_trial(_as_trial(tried, space))
    seen = {tried.configuration for tried in past}
    while True:
        trial = study.ask(space)
        configuration = Configuration(trial.params)
        if configuration not in seen:
            return configuration
        study.tell(trial, state=TrialState.FAIL)


def _space(search: TpeSearch) -> dict[str, BaseDistribution]:
    """The ranges as distributions of Optuna."""
    return {name: _distribution(values) for name, values in search.axes.items()}


def _distribution(values: Range | tuple[Value, ...]) -> BaseDistribution:
    if isinstance(values, Range):
        return FloatDistribution(values.low, values.high, log=values.scale == "log")
    return CategoricalDistribution(values)


def _as_trial(tried: TriedConfiguration, space: dict[str, BaseDistribution]) -> FrozenTrial:
    """A configuration and its result as a trial of Optuna."""
    if not tried.has_ended:
        state = TrialState.RUNNING
    else:
        state = TrialState.FAIL if tried.values is None else TrialState.COMPLETE
    return create_trial(
        state=state,
        params=dict(tried.configuration),
        distributions=space,
        values=tried.values if state is TrialState.COMPLETE else None,
    )


def _seed(seed: int, label: str, number: int) -> int:
    """32 bits that differ between searches, optimizers and suggestions."""
    digest = hashlib.sha256(f"{seed} {number} {label}".encode()).digest()
    return int.from_bytes(digest[:4])
