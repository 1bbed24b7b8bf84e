"""Trials as a table: what was planned, what was found, and the arrays statistics read.

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from service.summaries.errors import (
    InvalidOptionError,
    InvalidTrialsError,
    NotAvailableError,
    UnknownNameError,
)
from workers.metrics import Outcome

__all__ = [
    "CURVATURE_METRICS",
    "Floats",
    "History",
    "OptimizerTrials",
    "Search",
    "TrialRow",
    "TrialTable",
]

Floats = NDArray[np.float64]
Search = Literal["grid", "random", "tpe"]

CURVATURE_METRICS = ("hessian_trace", "hessian_lambda_max")
_MISSING, _COMPLETED, _DIVERGED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class History:
    """One trial's learning curve; equally long sequences, one entry an epoch.

    Attributes:
        epoch: Epochs finished, rising.
        gradient_evaluations: Gradient evaluations spent so far, rising.
        val_accuracy: Validation accuracy in [0, 1]; None where it is not finite.
        train_loss: Training loss; None where it is not finite.
    """

    epoch: Sequence[int]
    gradient_evaluations: Sequence[float]
    val_accuracy: Sequence[float | None]
    train_loss: Sequence[float | None] = ()

    @property
    def spent(self) -> float:
        """Gradient evaluations up to the last epoch."""
        return float(self.gradient_evaluations[-1]) if len(self.gradient_evaluations) else 0.0

    def val_accuracy_within(self, gradient_evaluations: float) -> float | None:
        """The last validation accuracy reached within a budget; None when not one epoch fits."""
        spent = np.searchsorted(self.gradient_evaluations, gradient_evaluations, side="right")
        return self.val_accuracy[int(spent) - 1] if spent else None


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial: its place in the sweep, its outcome and what was measured (fractions in [0, 1]).

    Attributes:
        key: Identity of the trial.
        optimizer: Label, unique within the sweep ("SA-SAM", "SAM rho=0.1").
        optimizer_name: Name in the catalog ("sa-sam").
        learning_rate: Step size; the initial one, eta_0, for SA-SGD and SA-SAM.
        weight_decay: L2 coefficient.
        seed: Seed of the trial.
        outcome: How it ended; None while it has not.
        val_accuracy: Validation accuracy of the last epoch.
        ood_accuracy: Mean accuracy over the corrupted sets.
        val_loss: Validation loss of the last epoch.
        ood_loss: Mean loss over the corrupted sets.
        hessian_trace: Tr(H) by split ("validation", "ood").
        hessian_trace_stderr: Standard error of the estimated trace by split.
        hessian_lambda_max: Largest eigenvalue by split.
        gradient_evaluations: Gradient evaluations spent.
        ood_by_corruption: Accuracy by corruption, mean over severities.
        ood_by_severity: Accuracy by corruption and severity.
        history: Learning curve, where it was loaded.
    """

    key: str
    optimizer: str
    optimizer_name: str
    learning_rate: float
    weight_decay: float
    seed: int
    outcome: Outcome | None = None
    val_accuracy: float | None = None
    ood_accuracy: float | None = None
    val_loss: float | None = None
    ood_loss: float | None = None
    hessian_trace: Mapping[str, float | None] = field(default_factory=dict)
    hessian_trace_stderr: Mapping[str, float | None] = field(default_factory=dict)
    hessian_lambda_max: Mapping[str, float | None] = field(default_factory=dict)
    gradient_evaluations: float | None = None
    ood_by_corruption: Mapping[str, float] = field(default_factory=dict)
    ood_by_severity: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    history: History | None = None


@dataclass(frozen=True, slots=True)
class OptimizerTrials:
    """The trials of one optimizer as arrays over C configurations and S seeds.

    Attributes:
        label: Label of the optimizer.
        name: Name in the catalog.
        learning_rates: [C].
        weight_decays: [C].
        shape: (learning rates, weight decays) of a grid, None for random and TPE searches.
        rows: [C][S], the trial or None where there is none.
        outcomes: [C, S] of missing, completed, diverged.
        val_accuracy: [C, S], imputed; NaN where missing.
        ood_accuracy: [C, S], imputed; NaN where missing, and everywhere in a sweep without OOD
            data.
        n_below_chance: Completed trials that were raised to chance.
    """

    label: str
    name: str
    learning_rates: Floats
    weight_decays: Floats
    shape: tuple[int, int] | None
    rows: tuple[tuple[TrialRow | None, ...], ...]
    outcomes: NDArray[np.int8]
    val_accuracy: Floats
    ood_accuracy: Floats
    n_below_chance: int

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
    def n_planned(self) -> int:
        """Places of the grid; for other searches the trials begun."""
        if self.shape is not None:
            return self.outcomes.size
        return sum(row is not None for rows in self.rows for row in rows)

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


@dataclass(frozen=True, slots=True)
class TrialTable:
    """All trials of a sweep beside what was planned.

    Build it with :meth:`from_rows`.

    Attributes:
        workload: What was trained ("vgg19 on cifar10").
        chance_accuracy: Accuracy of guessing, 1 / classes.
        search: How configurations were chosen.
        learning_rates: Planned grid, rising; the ones tried, for other searches.
        weight_decays: Likewise.
        seeds: Planned seeds.
        planned_trials: How many trials the sweep will have.
        by_optimizer: One entry an optimizer, in the order of the specification.
        has_ood: Whether any trial has an OOD accuracy.
        curvature_splits: Splits on which any curvature was measured, validation first.
        outcomes: How many rows ended in each way; None counts the unfinished ones.
    """

    workload: str
    chance_accuracy: float
    search: Search
    learning_rates: tuple[float, ...]
    weight_decays: tuple[float, ...]
    seeds: tuple[int, ...]
    planned_trials: int
    by_optimizer: tuple[OptimizerTrials, ...]
    has_ood: bool
    curvature_splits: tuple[str, ...]
    outcomes: Mapping[Outcome | None, int]

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[TrialRow],
        *,
        chance_accuracy: float,
        optimizers: Sequence[str] | None = None,
        learning_rates: Sequence[float] | None = None,
        weight_decays: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
        workload: str = "",
        search: Search = "grid",
        planned_trials: int | None = None,
    ) -> "TrialTable":
        """Lay rows out on the plan.

        Args:
            rows: Trials in any order; of two in the same place the later counts.
            chance_accuracy: Accuracy of guessing, in [0, 1).
            optimizers: Labels in the order to show them; by default those of the rows.
            learning_rates: Planned grid; by default the values of the rows.
            weight_decays: Planned grid; by default the values of the rows.
            seeds: Planned seeds; by default those of the rows.
            workload: What was trained.
            search: "grid", "random" or "tpe".
            planned_trials: By default the size of the grid, or the number of rows for other
                searches.

        Raises:
            InvalidTrialsError: A row lies outside the plan or an accuracy outside [0, 1].
            InvalidOptionError: ``chance_accuracy`` is outside [0, 1).
            UnknownNameError: An unknown search.
        """
        rows = tuple(rows)
        if search not in get_args(Search):
            raise UnknownNameError("search", search, get_args(Search))
        if not 0 <= chance_accuracy < 1:
            raise InvalidOptionError(
                "invalid_chance_accuracy", f"Chance accuracy {chance_accuracy} is not in [0, 1)."
            )
        _check_accuracies(rows)
        labels = tuple(dict.fromkeys(optimizers or (row.optimizer for row in rows)))
        rates = _axis(learning_rates, (row.learning_rate for row in rows))
        decays = _axis(weight_decays, (row.weight_decay for row in rows))
        seeds = tuple(dict.fromkeys(seeds or sorted({row.seed for row in rows})))
        has_ood = any(row.ood_accuracy is not None for row in rows)
        by_label: dict[str, list[TrialRow]] = {label: [] for label in labels}
        outcomes: dict[Outcome | None, int] = {}
        for row in rows:
            if row.optimizer not in by_label:
                raise _outside("optimizer", row.optimizer, row, labels)
            by_label[row.optimizer].append(row)
            outcomes[row.outcome] = outcomes.get(row.outcome, 0) + 1
        if search == "grid":
            places = [(rate, decay) for rate in rates for decay in decays]
        by_optimizer = tuple(
            _lay_out(
                label,
                own,
                places
                if search == "grid"
                else sorted({(row.learning_rate, row.weight_decay) for row in own}),
                seeds,
                (len(rates), len(decays)) if search == "grid" else None,
                chance_accuracy,
                has_ood,
            )
            for label, own in by_label.items()
        )
        grid_size = len(labels) * len(rates) * len(decays) * len(seeds)
        splits = {
            split
            for row in rows
            for values in (row.hessian_trace, row.hessian_lambda_max)
            for split, value in values.items()
            if value is not None
        }
        return cls(
            workload=workload,
            chance_accuracy=chance_accuracy,
            search=search,
            learning_rates=rates,
            weight_decays=decays,
            seeds=seeds,
            planned_trials=planned_trials or (grid_size if search == "grid" else len(rows)),
            by_optimizer=by_optimizer,
            has_ood=has_ood,
            curvature_splits=tuple(
                sorted(splits, key=lambda split: (split != "validation", split))
            ),
            outcomes=outcomes,
        )

    @property
    def optimizers(self) -> tuple[str, ...]:
        """Labels in the order of the specification."""
        return tuple(trials.label for trials in self.by_optimizer)

    @property
    def n_finished(self) -> int:
        """Trials that count: completed or diverged."""
        return sum(int(trials.finished.sum()) for trials in self.by_optimizer)

    @property
    def n_diverged(self) -> int:
        """Trials that diverged."""
        return sum(int(trials.diverged.sum()) for trials in self.by_optimizer)

    @property
    def complete(self) -> bool:
        """Whether every planned trial counts."""
        return self.n_finished >= self.planned_trials

    def optimizer(self, label: str) -> OptimizerTrials:
        """The trials of one optimizer.

        Raises:
            UnknownNameError: The sweep has no such optimizer.
        """
        for trials in self.by_optimizer:
            if trials.label == label:
                return trials
        raise UnknownNameError("optimizer", label, self.optimizers)

    def rows(self) -> Iterable[TrialRow]:
        """Every trial laid out, by optimizer, configuration and seed."""
        for trials in self.by_optimizer:
            for row in trials.rows:
                yield from (trial for trial in row if trial is not None)

    def require_finished(self) -> None:
        """Raise unless at least one trial counts.

        Raises:
            NotAvailableError: No trial has completed or diverged.
        """
        if not self.n_finished:
            raise NotAvailableError(
                "no_finished_trials",
                f"None of {self.planned_trials} planned trials has completed or diverged yet.",
            )

    def within_budget(self, gradient_evaluations: float) -> "TrialTable":
        """The table as it would be had every trial stopped at a budget of gradient evaluations.

        Validation accuracy is read from the histories; what is only measured at the end (OOD
        accuracy, curvature) is gone. Whatever became of a trial later, it counts once it has spent
        the budget; one that diverged within it stays diverged.
        """

        def cut(row: TrialRow) -> TrialRow:
            outcome, reached = row.outcome, None
            if row.history is None:
                outcome = None  # nobody knows when it ended
            else:
                reached = row.history.val_accuracy_within(gradient_evaluations)
                if reached is not None and row.history.spent >= gradient_evaluations:
                    outcome = Outcome.COMPLETED
            return replace(
                row,
                outcome=outcome,
                val_accuracy=reached,
                ood_accuracy=None,
                val_loss=None,
                ood_loss=None,
                hessian_trace={},
                hessian_trace_stderr={},
                hessian_lambda_max={},
                gradient_evaluations=gradient_evaluations,
            )

        return TrialTable.from_rows(
            map(cut, self.rows()),
            chance_accuracy=self.chance_accuracy,
            optimizers=self.optimizers,
            learning_rates=self.learning_rates,
            weight_decays=self.weight_decays,
            seeds=self.seeds,
            workload=self.workload,
            search=self.search,
            planned_trials=self.planned_trials,
        )


def _lay_out(
    label: str,
    rows: Sequence[TrialRow],
    places: Sequence[tuple[float, float]],
    seeds: Sequence[int],
    shape: tuple[int, int] | None,
    chance: float,
    has_ood: bool,
) -> OptimizerTrials:
    """Put one optimizer's rows in their places and apply the rules of this module."""
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
            raise _outside("configuration", (row.learning_rate, row.weight_decay), row, ())
        seed = seed_of.get(row.seed)
        if seed is None:
            raise _outside("seed", row.seed, row, map(str, seeds))
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
        learning_rates=np.array([rate for rate, _ in places], dtype=np.float64),
        weight_decays=np.array([decay for _, decay in places], dtype=np.float64),
        shape=shape,
        rows=tuple(map(tuple, laid)),
        outcomes=outcomes,
        val_accuracy=val,
        ood_accuracy=ood,
        n_below_chance=below,
    )


def _diverged(row: TrialRow) -> bool:
    """Whether a trial's training left the finite numbers."""
    if row.outcome == Outcome.DIVERGED:
        return True
    accuracies = (row.val_accuracy, row.ood_accuracy)
    return row.outcome == Outcome.COMPLETED and any(
        value is not None and not math.isfinite(value) for value in accuracies
    )


def _check_accuracies(rows: Iterable[TrialRow]) -> None:
    """Refuse percentages and other numbers that are no fractions."""
    for row in rows:
        for name, value in (("val", row.val_accuracy), ("ood", row.ood_accuracy)):
            if value is not None and math.isfinite(value) and not 0 <= value <= 1:
                raise InvalidTrialsError(
                    "accuracy_out_of_range",
                    f"Trial {row.key!r} has {name}_accuracy {value}; a fraction in [0, 1] is"
                    " needed.",
                )


def _outside(what: str, got: object, row: TrialRow, allowed: Iterable[str]) -> InvalidTrialsError:
    """The error for a row that was not planned."""
    return InvalidTrialsError(
        "trial_outside_plan",
        f"Trial {row.key!r} has {what} {got!r}, which was not planned.",
        allowed,
    )


def _axis(planned: Sequence[float] | None, found: Iterable[float]) -> tuple[float, ...]:
    """The values of a grid axis, rising."""
    return tuple(sorted(set(found if planned is None else planned)))


def _number(value: float | None) -> float:
    """NaN for what is not there or not finite."""
    return math.nan if value is None or not math.isfinite(value) else float(value)
