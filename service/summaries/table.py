"""All trials of a sweep beside what was planned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, get_args

from service.summaries.errors import (
    InvalidOptionError,
    InvalidTrialsError,
    NotAvailableError,
    UnknownNameError,
)
from service.summaries.optimizer_trials import (
    CURVATURE_METRICS,
    Floats,
    OptimizerTrials,
    lay_out,
    outside_plan,
)
from service.summaries.trial_rows import History, TrialRow
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

Search = Literal["grid", "random", "tpe"]


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
                raise outside_plan("optimizer", row.optimizer, row, labels)
            by_label[row.optimizer].append(row)
            outcomes[row.outcome] = outcomes.get(row.outcome, 0) + 1
        grid = [(rate, decay) for rate in rates for decay in decays] if search == "grid" else None
        by_optimizer = tuple(
            lay_out(
                label,
                own,
                grid or sorted({(row.learning_rate, row.weight_decay) for row in own}),
                seeds,
                (len(rates), len(decays)) if grid else None,
                chance_accuracy,
                has_ood,
                None if grid else (planned_trials or len(rows)) // len(labels),
            )
            for label, own in by_label.items()
        )
        size = len(labels) * len(grid) * len(seeds) if grid else len(rows)
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
            planned_trials=planned_trials or size,
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
            outcome, reached, history = row.outcome, None, row.history
            if history is None:
                outcome = None  # nobody knows when it ended
            else:
                spent, history = history.spent, history.within(gradient_evaluations)
                reached = history.val_accuracy[-1] if history.val_accuracy else None
                if reached is not None and spent >= gradient_evaluations:
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
                ood_by_corruption={},
                ood_by_severity={},
                gradient_evaluations=gradient_evaluations,
                history=history,
            )

        return self._laid_out_again(map(cut, self.rows()), self.optimizers, self.planned_trials)

    def with_details(
        self,
        histories: Mapping[str, History],
        ood_by_severity: Mapping[str, Mapping[str, Mapping[int, float]]],
    ) -> "TrialTable":
        """The table with what few questions need, by the keys of trials."""

        def detailed(row: TrialRow | None) -> TrialRow | None:
            if row is None or not (row.key in histories or row.key in ood_by_severity):
                return row
            return replace(
                row,
                history=histories.get(row.key, row.history),
                ood_by_severity=ood_by_severity.get(row.key, row.ood_by_severity),
            )

        return replace(
            self,
            by_optimizer=tuple(
                replace(trials, rows=tuple(tuple(map(detailed, rows)) for rows in trials.rows))
                for trials in self.by_optimizer
            ),
        )

    def only(self, labels: Sequence[str]) -> "TrialTable":
        """The table of some of the optimizers, in their given order.

        Raises:
            UnknownNameError: The sweep has no such optimizer.
        """
        chosen = [self.optimizer(label) for label in dict.fromkeys(labels)]
        rows = (row for trials in chosen for of_config in trials.rows for row in of_config if row)
        planned = sum(trials.n_planned for trials in chosen)
        return self._laid_out_again(rows, [trials.label for trials in chosen], planned)

    def _laid_out_again(
        self, rows: Iterable[TrialRow], optimizers: Sequence[str], planned_trials: int
    ) -> "TrialTable":
        """Other rows on the same plan."""
        return TrialTable.from_rows(
            rows,
            chance_accuracy=self.chance_accuracy,
            optimizers=optimizers,
            learning_rates=self.learning_rates,
            weight_decays=self.weight_decays,
            seeds=self.seeds,
            workload=self.workload,
            search=self.search,
            planned_trials=planned_trials,
        )


def _check_accuracies(rows: Iterable[TrialRow]) -> None:
    """Refuse percentages and other numbers that are no fractions."""
    for row in rows:
        for name, value in (("val", row.val_accuracy), ("ood", row.ood_accuracy)):
            if value is not None and isfinite(value) and not 0 <= value <= 1:
                raise InvalidTrialsError(
                    "accuracy_out_of_range",
                    f"Trial {row.key!r} has {name}_accuracy {value}; a fraction in [0, 1] is"
                    " needed.",
                )


def _axis(planned: Sequence[float] | None, found: Iterable[float]) -> tuple[float, ...]:
    """The values of a grid axis, rising."""
    return tuple(sorted(set(found if planned is None else planned)))
