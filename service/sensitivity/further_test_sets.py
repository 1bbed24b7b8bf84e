"""Results of one optimizer on further test sets, by the same scores, intervals and importance."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from service.sensitivity import statistics
from service.sensitivity.importance import importance
from service.sensitivity.intervals import interval
from service.sensitivity.optimizer_schemas import TestSetSummary
from service.sensitivity.optimizer_trials import Floats, OptimizerTrials
from service.sensitivity.score_values import oriented_range, score_interval
from service.sensitivity.scores import Scores
from service.sensitivity.seed_noise import RepeatedSweeps, repeat_sweeps
from service.sensitivity.strict_schema import finite

__all__ = ["summarize_test_sets"]


def summarize_test_sets(scores: Scores, chance: float) -> Mapping[str, TestSetSummary]:
    """Summarise every further test set that any trial was measured on.

    Args:
        scores: Of the optimizer.
        chance: Oriented score of a uniform guess, rounded as seed means are.
    """
    names = dict.fromkeys(
        name
        for of_config in scores.trials.results
        for trial in of_config
        if trial is not None
        for name in trial.test(scores.trials.score)
    )
    found = {name: _summarize(name, scores, chance) for name in names}
    return {name: summary for name, summary in found.items() if summary is not None}


def _summarize(name: str, scores: Scores, chance: float) -> TestSetSummary | None:
    """The summary of one test set; None if the selected configuration was not measured on it."""
    trials, score = scores.trials, scores.trials.score
    measured = _scores(trials, name)
    evaluation = statistics.seed_means(measured)
    at = scores.selected
    if np.isnan(evaluation[at]):
        return None
    repeated = _repeat(scores, measured, chance) if scores.repeated else ()
    shares = importance(replace(scores, evaluation=evaluation, repeated=repeated))
    axes = [axis.name for axis in trials.axes]
    intervals = {axis: shares.interval(index) for index, axis in enumerate(axes)}
    errors = [sweeps.errors(_selected)["selected"] for sweeps in repeated]
    value = score.oriented(float(evaluation[at]))
    made = score_interval(score, interval(float(evaluation[at]), errors, oriented_range(score)))
    is_accuracy = score.name == "accuracy"
    completed = trials.measured(lambda trial: trial.test_accuracy.get(name), at)
    return TestSetSummary(
        score=value,
        score_interval=made,
        accuracy=value if is_accuracy else finite(statistics.known_mean(completed)),
        accuracy_interval=made if is_accuracy else None,
        mean=score.oriented(float(np.nanmean(evaluation))),
        importance={axis: finite(shares.alone(index)) for index, axis in enumerate(axes)},
        importance_intervals={axis: one for axis, one in intervals.items() if one is not None},
    )


def _repeat(scores: Scores, measured: Floats, chance: float) -> tuple[RepeatedSweeps, ...]:
    """Sweeps simulated with the seed noise of the trials that were measured on the test set."""
    trials = scores.trials
    val: Floats = np.where(np.isnan(measured), np.nan, trials.val)
    silent = trials.all_diverged | (statistics.seed_means(measured) <= chance)
    return repeat_sweeps(val, measured, silent=silent, rng=np.random.default_rng(0))


def _selected(by: Floats, values: Floats) -> dict[str, Floats]:
    """The score of the configuration that validation selects."""
    return {"selected": statistics.selected(by, values)}


def _scores(trials: OptimizerTrials, name: str) -> Floats:
    """[C, S] oriented scores on a test set, at least chance, that of a diverged trial."""
    score = trials.score
    measured = score.sign * trials.measured(lambda trial: trial.test(score).get(name))
    raised: Floats = np.where(trials.diverged, trials.chance, np.maximum(measured, trials.chance))
    return raised
