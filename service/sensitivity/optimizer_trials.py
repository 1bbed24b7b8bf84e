"""Trials of one optimizer as arrays over configurations and seeds.

Rules, applied only here:

- Scores are *oriented*: accuracy, or the loss with its sign changed, so that higher is better.
- A *diverged* trial, or one whose score is worse than that of a uniform guess (chance), counts as
  such a guess, before any mean over seeds. It is never dropped: dropping rewards the optimizer that
  diverges most.
- A *missing* trial (failed, cancelled, pruned, unfinished, or without one of the scores this
  sweep measures) is never imputed: it is NaN.
- Curvature exists where it was measured: a diverged trial has none.

Configurations are ordered by their values on the axes in turn, learning rate and weight decay
first, so that the first of several equal ones has the lowest learning rate, then the lowest weight
decay; on a full grid they reshape to one dimension per axis.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.sensitivity.errors import InvalidTrialsError, UnknownNameError
from service.sensitivity.hyperparameters import Axis
from service.sensitivity.trial_result import TrialResult
from workers.hyperparameter_text import value_text
from workers.metrics import Outcome
from workers.scores import Score
from workers.spec.configuration import Value, freeze_value

__all__ = ["CURVATURE_METRICS", "Floats", "OptimizerTrials", "lay_out", "outside_plan"]

Floats = NDArray[np.float64]

CURVATURE_METRICS = ("hessian_trace", "hessian_lambda_max")
_MISSING, _COMPLETED, _DIVERGED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class OptimizerTrials:
    """The trials of one optimizer as arrays over C configurations and S seeds.

    Attributes:
        label: Label of the optimizer.
        name: Name in the catalog.
        title: Display name.
        axes: A hyperparameters that the search varies for this optimizer.
        places: [C, A], the index of each configuration's value on each axis.
        shape: Number of values of each axis of a grid, None for random and TPE searches.
        results: [C][S]; None where there is no trial.
        outcomes: [C, S] of missing, completed, diverged.
        val: [C, S], oriented validation scores, imputed; NaN where missing.
        ood: [C, S], oriented OOD scores, imputed; NaN where missing, and everywhere in a sweep
            without OOD data.
        raised_val: [C, S], true where a completed trial's validation score was raised to chance.
        raised_ood: Likewise its OOD score.
        score: What ranks configurations.
        chance: Oriented score of a uniform guess.
        n_planned: Planned trials.
    """

    label: str
    name: str
    title: str
    axes: tuple[Axis, ...]
    places: NDArray[np.intp]
    shape: tuple[int, ...] | None
    results: tuple[tuple[TrialResult | None, ...], ...]
    outcomes: NDArray[np.int8]
    val: Floats
    ood: Floats
    raised_val: NDArray[np.bool_]
    raised_ood: NDArray[np.bool_]
    score: Score
    chance: float
    n_planned: int

    def axis_index(self, name: str) -> int | None:
        """Position of an axis; None where this optimizer lacks it."""
        return next((at for at, axis in enumerate(self.axes) if axis.name == name), None)

    def configuration(self, at: int) -> dict[str, Value]:
        """Values of one configuration by name of the axis."""
        places = self.places[at].tolist()
        return {axis.name: axis.values[i] for axis, i in zip(self.axes, places, strict=True)}

    @property
    def configurations(self) -> Iterator[dict[str, Value]]:
        """The C configurations in their order."""
        return map(self.configuration, range(len(self.places)))

    def has_space_of(self, other: "OptimizerTrials") -> bool:
        """Whether both search the same hyperparameters, on grids over the same values."""
        own, others = ({axis.name: axis for axis in one.axes} for one in (self, other))
        if own.keys() != others.keys() or (self.shape is None) != (other.shape is None):
            return False
        return self.shape is None or all(own[name].values == others[name].values for name in own)

    @property
    def finished(self) -> NDArray[np.bool_]:
        """[C, S], true where a trial counts: completed or diverged."""
        return np.not_equal(self.outcomes, _MISSING)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """[C, S], true where a trial diverged."""
        return np.equal(self.outcomes, _DIVERGED)

    @property
    def n_below_chance(self) -> int:
        """Number of completed trials with a score worse than that of a guess, raised to it."""
        return int(np.logical_or(self.raised_val, self.raised_ood).sum())

    def raised(self, metric: str) -> NDArray[np.bool_]:
        """[C, S], true where a completed trial's score was raised to chance.

        Args:
            metric: A metric of the score, such as "val_accuracy"; another metric is never raised.
        """
        if metric == self.score.val_metric:
            return self.raised_val
        if metric == self.score.ood_metric:
            return self.raised_ood
        return np.zeros(self.outcomes.shape, dtype=np.bool_)

    @property
    def all_diverged(self) -> NDArray[np.bool_]:
        """[C], true where every trial that counts diverged."""
        survived = np.equal(self.outcomes, _COMPLETED).any(axis=1)
        return np.logical_and(self.diverged.any(axis=1), np.logical_not(survived))

    def measured(
        self, read: Callable[[TrialResult], float | None], config: int | None = None
    ) -> Floats:
        """A measurement of the completed trials, NaN elsewhere.

        Returns:
            [C, S]; [S] with ``config``, the index of one configuration.
        """
        chosen = slice(None) if config is None else slice(config, config + 1)
        outcomes = self.outcomes[chosen]
        completed = np.equal(outcomes, _COMPLETED).ravel()
        trials = itertools.compress(
            itertools.chain.from_iterable(self.results[chosen]), completed.tolist()
        )
        found = np.array([read(trial) for trial in trials if trial is not None], dtype=np.float64)
        found[np.isinf(found)] = math.nan
        values = np.full(outcomes.size, math.nan)
        values[completed] = found
        return values.reshape(outcomes.shape) if config is None else values

    def curvature(self, metric: str, split: str, config: int | None = None) -> Floats:
        """[C, S] of a curvature metric on a split; NaN where not measured.

        With ``config``, the index of one configuration, [S].

        Raises:
            UnknownNameError: An unknown metric.
        """
        if metric not in CURVATURE_METRICS:
            raise UnknownNameError("metric", metric, CURVATURE_METRICS)
        if metric == "hessian_trace":
            return self.measured(lambda trial: trial.hessian_trace.get(split), config)
        return self.measured(lambda trial: trial.hessian_lambda_max.get(split), config)


def lay_out(
    label: str,
    results: Sequence[TrialResult],
    axes: Sequence[Axis],
    seeds: Sequence[int],
    *,
    is_grid: bool,
    score: Score,
    chance: float,
    has_ood: bool,
    n_planned: int | None = None,
) -> OptimizerTrials:
    """Arrange the results of one optimizer and apply the rules of this module.

    Args:
        label: Label of the optimizer.
        results: Its trials; of two at the same place the later counts.
        axes: The axes of the search, with all values of the results.
        seeds: Seeds in their order.
        is_grid: Whether every combination of values is planned; else those of the results.
        score: What ranks configurations.
        chance: Oriented score of a uniform guess.
        has_ood: Whether the sweep measures the score on OOD data.
        n_planned: Planned trials; by default one per configuration and seed.

    Raises:
        InvalidTrialsError: A result is not in the plan.
    """
    indexes = [{value: at for at, value in enumerate(axis.values)} for axis in axes]
    places = [_place(trial, axes, indexes) for trial in results]
    if is_grid:
        planned = list(itertools.product(*(range(len(axis)) for axis in axes)))
    else:
        planned = sorted(set(places))
    config_of = {place: index for index, place in enumerate(planned)}
    seed_of = {seed: index for index, seed in enumerate(seeds)}
    size = (len(planned), len(seeds))
    laid: list[list[TrialResult | None]] = [[None] * size[1] for _ in range(size[0])]
    outcomes = np.full(size, _MISSING, dtype=np.int8)
    val = np.full(size, math.nan)
    ood = np.full(size, math.nan)
    raised = np.zeros((2, *size), dtype=np.bool_)
    for trial, position in zip(results, places, strict=True):
        config = config_of[position]
        seed = seed_of.get(trial.seed)
        if seed is None:
            raise outside_plan("seed", trial.seed, trial, map(str, seeds))
        laid[config][seed] = trial
        place = (config, seed)
        outcomes[place], val[place], ood[place] = _MISSING, math.nan, math.nan
        raised[:, config, seed] = False
        scores = trial.validation(score), trial.ood(score)
        if _diverged(trial.outcome, scores):
            outcomes[place] = _DIVERGED
            val[place] = ood[place] = chance
        elif (
            trial.outcome == Outcome.COMPLETED
            and scores[0] is not None
            and (scores[1] is not None or not has_ood)
        ):
            outcomes[place] = _COMPLETED
            measured = [math.nan if value is None else score.oriented(value) for value in scores]
            val[place], ood[place] = (max(value, chance) for value in measured)
            raised[:, config, seed] = [value < chance for value in measured]
    if not has_ood:
        ood[:], raised[1] = math.nan, False
    return OptimizerTrials(
        label=label,
        name=results[0].optimizer_name if results else label,
        title=(results[0].optimizer_title if results else None) or label,
        axes=tuple(axes),
        places=np.array(planned, dtype=np.intp).reshape(len(planned), len(axes)),
        shape=tuple(map(len, axes)) if is_grid else None,
        results=tuple(map(tuple, laid)),
        outcomes=outcomes,
        val=val,
        ood=ood,
        raised_val=raised[0],
        raised_ood=raised[1],
        score=score,
        chance=chance,
        n_planned=outcomes.size if n_planned is None else n_planned,
    )


def _place(
    trial: TrialResult, axes: Sequence[Axis], indexes: Sequence[Mapping[Value, int]]
) -> tuple[int, ...]:
    """The index of a trial's value on each axis."""
    place = []
    for axis, index_of in zip(axes, indexes, strict=True):
        value = freeze_value(trial.hyperparameters.get(axis.name))
        if value not in index_of:
            raise outside_plan(axis.name, value, trial, map(value_text, axis.values))
        place.append(index_of[value])
    return tuple(place)


def _diverged(outcome: Outcome | None, scores: Iterable[float | None]) -> bool:
    """Whether training diverged: by its outcome, or by a score that is not finite."""
    if outcome == Outcome.DIVERGED:
        return True
    return outcome == Outcome.COMPLETED and any(
        value is not None and not math.isfinite(value) for value in scores
    )


def outside_plan(
    what: str, got: object, trial: TrialResult, allowed: Iterable[str]
) -> InvalidTrialsError:
    """The error for a trial outside the plan."""
    return InvalidTrialsError(
        "trial_outside_plan",
        f"Trial {trial.key!r} has {what} {got!r}, which was not planned.",
        allowed,
    )
