"""What to try next, by tree-structured Parzen estimators.

    next configuration = f(search, optimizer, what was tried and how it went)

The function keeps nothing: a study is built from the past for each suggestion, and its sampler's
seed follows from the search's seed, the optimizer and the number of the suggestion. So a driver
that starts again continues the search that its predecessor left, suggestion by suggestion. What is
not reproducible is the past itself where trials run side by side: which of the earlier ones have
ended when the next one is suggested is a matter of time. With one trial of an optimizer at a time
(``resources.max_concurrent: 1``) the whole search repeats itself.

The first quarter, at most ten, is drawn at random, the same for every optimizer.

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

from workers.spec import Configuration, Range, TpeSearch

__all__ = ["Tried", "suggest"]

optuna.logging.set_verbosity(optuna.logging.WARNING)

_MOST_RANDOM = 10
"""Optuna's default."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A configuration that was suggested before.

    Args:
        configuration: Learning rate and weight decay.
        values: One an objective, never NaN; None while its trials run or when all failed.
        has_ended: Whether all of its trials have ended.
    """

    configuration: Configuration
    values: Sequence[float] | None
    has_ended: bool


def suggest(search: TpeSearch, label: str, past: Sequence[Tried]) -> Configuration:
    """The next configuration of an optimizer, one that it has not tried.

    Args:
        search: The ranges and objectives.
        label: Of the optimizer.
        past: All suggestions so far, in order.
    """
    n_random = min(_MOST_RANDOM, -(-search.trials // 4))
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
        configuration = (trial.params["learning_rate"], trial.params["weight_decay"])
        if configuration not in seen:
            return configuration
        study.tell(trial, state=TrialState.FAIL)


def _space(search: TpeSearch) -> dict[str, BaseDistribution]:
    """The ranges as Optuna has them."""
    return {
        "learning_rate": _distribution(search.learning_rate),
        "weight_decay": _distribution(search.weight_decay),
    }


def _distribution(values: Range | tuple[float, ...]) -> BaseDistribution:
    if isinstance(values, Range):
        return FloatDistribution(values.low, values.high, log=values.scale == "log")
    return CategoricalDistribution(values)


def _as_trial(tried: Tried, space: dict[str, BaseDistribution]) -> FrozenTrial:
    """A configuration and how it went, as Optuna has it."""
    if not tried.has_ended:
        state = TrialState.RUNNING
    else:
        state = TrialState.FAIL if tried.values is None else TrialState.COMPLETE
    return create_trial(
        state=state,
        params=dict(zip(space, tried.configuration, strict=True)),
        distributions=space,
        values=tried.values if state is TrialState.COMPLETE else None,
    )


def _seed(seed: int, label: str, number: int) -> int:
    """32 bits that differ between searches, optimizers and suggestions."""
    digest = hashlib.sha256(f"{seed} {number} {label}".encode()).digest()
    return int.from_bytes(digest[:4])
