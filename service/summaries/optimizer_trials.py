"""One optimizer's trials as the arrays that statistics read.

Rules, applied once and here:

- A *diverged* trial, or one whose accuracy is below chance, counts as chance, before any mean over
  seeds. It is never dropped: dropping rewards the optimizer that diverges most.
- A *missing* trial (failed, cancelled, pruned, unfinished, or without one of the accuracies this
  sweep measures) is never imputed. It is a hole.
- Curvature exists where it was measured: a diverged trial has none.

Configurations are ordered by learning rate, then weight decay, so that the first of equals is the
one with the lowest learning rate, then the lowest weight decay; on a full grid they reshape to
``[learning rates, weight decays]``.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.summaries.errors import InvalidTrialsError, UnknownNameError
from service.summaries.trial_rows import TrialRow
from workers.metrics import Outcome

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
        title: What people call it.
        learning_rates: [C].
        weight_decays: [C].
        shape: (learning rates, weight decays) of a grid, None for random and TPE searches.
        rows: [C][S], the trial or None where there is none.
        outcomes: [C, S] of missing, completed, diverged.
        val_accuracy: [C, S], imputed; NaN where missing.
        ood_accuracy: [C, S], imputed; NaN where missing, and everywhere in a sweep without OOD
            data.
        n_below_chance: Completed trials that were raised to chance.
        n_planned: Trials that it will have.
    """

    label: str
    name: str
    title: str
    learning_rates: Floats
    weight_decays: Floats
    shape: tuple[int, int] | None
    rows: tuple[tuple[TrialRow | None, ...], ...]
    outcomes: NDArray[np.int8]
    val_accuracy: Floats
    ood_accuracy: Floats
    n_below_chance: int
    n_planned: int

    @property
    def finished(self) -> NDArray[np.bool_]:
        """[C, S], true where a trial counts: completed or diverged."""
        return np.not_equal(self.outcomes, _MISSING)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """[C, S], true where a trial diverged."""
        return np.equal(self.outcomes, _DIVERGED)

    @property
    def all_diverged(self) -> NDArray[np.bool_]:
        """[C], true where every trial that counts diverged."""
        survived = np.equal(self.outcomes, _COMPLETED).any(axis=1)
        return np.logical_and(self.diverged.any(axis=1), np.logical_not(survived))

    @property
    def seeds_per_config(self) -> int:
        """The smallest number of trials that any scored configuration has."""
        counts = self.finished.sum(axis=1)
        return int(counts[counts > 0].min(initial=self.finished.shape[1]))

    def measured(
        self, read: Callable[[TrialRow], float | None], config: int | None = None
    ) -> Floats:
        """[C, S] of a number of the completed trials, NaN elsewhere; [S] of one configuration."""
        chosen = slice(None) if config is None else slice(config, config + 1)
        outcomes = self.outcomes[chosen]
        found = [
            _number(read(row)) if row is not None and outcome == _COMPLETED else math.nan
            for rows, of_seeds in zip(self.rows[chosen], outcomes.tolist(), strict=True)
            for row, outcome in zip(rows, of_seeds, strict=True)
        ]
        values = np.array(found, dtype=np.float64).reshape(outcomes.shape)
        return values if config is None else values[0]

    def curvature(self, metric: str, split: str) -> Floats:
        """[C, S] of a curvature metric on a split; NaN where it was not measured."""
        if metric not in CURVATURE_METRICS:
            raise UnknownNameError("metric", metric, CURVATURE_METRICS)
        if metric == "hessian_trace":
            return self.measured(lambda row: row.hessian_trace.get(split))
        return self.measured(lambda row: row.hessian_lambda_max.get(split))


def lay_out(
    label: str,
    rows: Sequence[TrialRow],
    places: Sequence[tuple[float, float]],
    seeds: Sequence[int],
    shape: tuple[int, int] | None,
    chance: float,
    has_ood: bool,
    n_planned: int | None = None,
) -> OptimizerTrials:
    """Put one optimizer's rows in their places and apply the rules of this module.

    Args:
        label: Label of the optimizer.
        rows: Its trials; of two in the same place the later counts.
        places: Configurations in their order.
        seeds: Seeds in their order.
        shape: (learning rates, weight decays) of a grid, None elsewhere.
        chance: Accuracy of guessing.
        has_ood: Whether the sweep measures OOD accuracy.
        n_planned: Trials that it will have; by default one for each place and seed.

    Raises:
        InvalidTrialsError: A row has no place.
    """
    config_of = {place: index for index, place in enumerate(places)}
    seed_of = {seed: index for index, seed in enumerate(seeds)}
    size = (len(places), len(seeds))
    laid: list[list[TrialRow | None]] = [[None] * size[1] for _ in range(size[0])]
    outcomes = np.full(size, _MISSING, dtype=np.int8)
    val = np.full(size, math.nan)
    ood = np.full(size, math.nan)
    below = 0
    for row in rows:
        config = config_of.get((row.learning_rate, row.weight_decay))
        if config is None:
            raise outside_plan("configuration", (row.learning_rate, row.weight_decay), row, ())
        seed = seed_of.get(row.seed)
        if seed is None:
            raise outside_plan("seed", row.seed, row, map(str, seeds))
        laid[config][seed] = row
        place = (config, seed)
        outcomes[place], val[place], ood[place] = _MISSING, math.nan, math.nan
        if _diverged(row):
            outcomes[place] = _DIVERGED
            val[place] = ood[place] = chance
        elif (
            row.outcome == Outcome.COMPLETED
            and row.val_accuracy is not None
            and (row.ood_accuracy is not None or not has_ood)
        ):
            outcomes[place] = _COMPLETED
            measured = (
                row.val_accuracy,
                math.nan if row.ood_accuracy is None else row.ood_accuracy,
            )
            below += any(value < chance for value in measured)
            val[place], ood[place] = (max(value, chance) for value in measured)
    if not has_ood:
        ood[:] = math.nan
    return OptimizerTrials(
        label=label,
        name=rows[0].optimizer_name if rows else label,
        title=(rows[0].optimizer_title if rows else None) or label,
        learning_rates=np.array([rate for rate, _ in places], dtype=np.float64),
        weight_decays=np.array([decay for _, decay in places], dtype=np.float64),
        shape=shape,
        rows=tuple(map(tuple, laid)),
        outcomes=outcomes,
        val_accuracy=val,
        ood_accuracy=ood,
        n_below_chance=below,
        n_planned=outcomes.size if n_planned is None else n_planned,
    )


def _diverged(row: TrialRow) -> bool:
    """Whether a trial's training left the finite numbers."""
    if row.outcome == Outcome.DIVERGED:
        return True
    accuracies = (row.val_accuracy, row.ood_accuracy)
    return row.outcome == Outcome.COMPLETED and any(
        value is not None and not math.isfinite(value) for value in accuracies
    )


def outside_plan(
    what: str, got: object, row: TrialRow, allowed: Iterable[str]
) -> InvalidTrialsError:
    """The error for a row that was not planned."""
    return InvalidTrialsError(
        "trial_outside_plan",
        f"Trial {row.key!r} has {what} {got!r}, which was not planned.",
        allowed,
    )


def _number(value: float | None) -> float:
    """NaN for what is not there or not finite."""
    return math.nan if value is None or not math.isfinite(value) else float(value)
