"""All trials of a sweep arranged on its plan."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, get_args

from service.sensitivity.errors import (
    InvalidOptionError,
    InvalidTrialsError,
    NotAvailableError,
    UnknownNameError,
)
from service.sensitivity.hyperparameters import Axis, merge_axes, ordered
from service.sensitivity.optimizer_trials import OptimizerTrials, lay_out, outside_plan
from service.sensitivity.statistics import SCORE_DECIMALS
from service.sensitivity.trial_result import History, TrialResult
from workers.metrics import Outcome
from workers.scores import SCORES, Score
from workers.spec.configuration import Value
from workers.spec.optimizer_facts import OptimizerFacts

__all__ = ["Search", "TrialTable"]

Search = Literal["grid", "random", "tpe"]


@dataclass(frozen=True, slots=True)
class TrialTable:
    """All trials of a sweep arranged on its plan.

    Build it with :meth:`from_results`.

    Attributes:
        workload: Model and dataset ("VGG-19 on CIFAR-10").
        chance_accuracy: Accuracy of guessing, 1 / classes.
        score: What ranks configurations.
        search: Kind of search ("grid", "random", "tpe").
        seeds: Planned seeds.
        planned_trials: Number of trials of the complete sweep.
        by_optimizer: One entry per optimizer, in the order of the specification.
        has_ood: Whether any trial has the score on OOD data.
        curvature_splits: Splits on which any curvature was measured, validation first.
        outcomes: Number of trials by outcome; None counts the unfinished ones.
        facts: Facts about the optimizers by label; those of the catalog where missing.
        ended: Whether no further trial will end.
    """

    workload: str
    chance_accuracy: float
    score: Score
    search: Search
    seeds: tuple[int, ...]
    planned_trials: int
    by_optimizer: tuple[OptimizerTrials, ...]
    has_ood: bool
    curvature_splits: tuple[str, ...]
    outcomes: Mapping[Outcome | None, int]
    facts: Mapping[str, OptimizerFacts]
    ended: bool

    @classmethod
    def from_results(
        cls,
        results: Iterable[TrialResult],
        *,
        chance_accuracy: float,
        score: Score = SCORES["accuracy"],
        optimizers: Sequence[str] | None = None,
        axes: Mapping[str, Sequence[Axis]] | None = None,
        seeds: Sequence[int] | None = None,
        workload: str = "",
        search: Search = "grid",
        planned_trials: int | None = None,
        facts: Mapping[str, OptimizerFacts] | None = None,
        ended: bool = False,
    ) -> "TrialTable":
        """Arrange results on the plan.

        Args:
            results: In any order; of two at the same place the later counts.
            chance_accuracy: Accuracy of guessing, in [0, 1).
            score: What ranks configurations.
            optimizers: Labels in display order; by default those of the results.
            axes: Planned axes of each optimizer by label, a range with any values; by default
                those of its results. On a grid every combination of values is planned.
            seeds: Planned seeds; by default those of the results.
            workload: Model and dataset.
            search: "grid", "random" or "tpe".
            planned_trials: By default the size of the grids, or the number of results for other
                searches.
            facts: Facts about the optimizers by label; by default those of the catalog.
            ended: Whether the sweep has ended; it has in any case when every planned trial has.

        Raises:
            InvalidTrialsError: A trial is outside the plan or a score out of range.
            InvalidOptionError: ``chance_accuracy`` is outside [0, 1).
            NotAvailableError: ``chance_accuracy`` is unknown (0) and the score is the loss.
            UnknownNameError: An unknown search.
        """
        results = tuple(results)
        if search not in get_args(Search):
            raise UnknownNameError("search", search, get_args(Search))
        if not 0 <= chance_accuracy < 1:
            raise InvalidOptionError(
                "invalid_chance_accuracy", f"Chance accuracy {chance_accuracy} is not in [0, 1)."
            )
        guess = score.oriented(score.guess(chance_accuracy))
        if not isfinite(guess):
            raise NotAvailableError(
                "unknown_number_of_classes",
                f"The {score.name} of a guess is unknown until a driver has recorded the number of"
                " classes.",
            )
        _check_scores(results)
        labels = tuple(dict.fromkeys(optimizers or (trial.optimizer for trial in results)))
        seeds = tuple(dict.fromkeys(seeds or sorted({trial.seed for trial in results})))
        has_ood = any(trial.ood(score) is not None for trial in results)
        by_label: dict[str, list[TrialResult]] = {label: [] for label in labels}
        outcomes: dict[Outcome | None, int] = {}
        for trial in results:
            if trial.optimizer not in by_label:
                raise outside_plan("optimizer", trial.optimizer, trial, labels)
            by_label[trial.optimizer].append(trial)
            outcomes[trial.outcome] = outcomes.get(trial.outcome, 0) + 1
        is_grid = search == "grid"
        by_optimizer = tuple(
            lay_out(
                label,
                own,
                _axes(own, None if axes is None else axes.get(label), search),
                seeds,
                is_grid=is_grid,
                score=score,
                chance=guess,
                has_ood=has_ood,
                n_planned=None if is_grid else (planned_trials or len(results)) // len(labels),
            )
            for label, own in by_label.items()
        )
        size = sum(trials.n_planned for trials in by_optimizer) if is_grid else len(results)
        splits = {
            split
            for trial in results
            for values in (trial.hessian_trace, trial.hessian_lambda_max)
            for split, value in values.items()
            if value is not None
        }
        return cls(
            workload=workload,
            chance_accuracy=chance_accuracy,
            score=score,
            search=search,
            seeds=seeds,
            planned_trials=planned_trials or size,
            by_optimizer=by_optimizer,
            has_ood=has_ood,
            curvature_splits=tuple(
                sorted(splits, key=lambda split: (split != "validation", split))
            ),
            outcomes=outcomes,
            facts=facts or {},
            ended=ended or len(results) - outcomes.get(None, 0) >= (planned_trials or size),
        )

    @property
    def guess(self) -> float:
        """Score of a uniform guess."""
        return self.score.guess(self.chance_accuracy)

    @property
    def chance(self) -> float:
        """Oriented score of a uniform guess, rounded as seed means are, to compare with them."""
        return round(self.score.oriented(self.guess), SCORE_DECIMALS)

    @property
    def optimizers(self) -> tuple[str, ...]:
        """Labels in the order of the specification."""
        return tuple(trials.label for trials in self.by_optimizer)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of all optimizers, one per name, with the values of all of them."""
        return merge_axes(axis for trials in self.by_optimizer for axis in trials.axes)

    @property
    def n_finished(self) -> int:
        """Number of trials that completed or diverged."""
        return sum(int(trials.finished.sum()) for trials in self.by_optimizer)

    @property
    def n_diverged(self) -> int:
        """Number of trials that diverged."""
        return sum(int(trials.diverged.sum()) for trials in self.by_optimizer)

    @property
    def complete(self) -> bool:
        """Whether every planned trial completed or diverged."""
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

    def results(self) -> Iterable[TrialResult]:
        """Every trial, by optimizer, configuration and seed."""
        for trials in self.by_optimizer:
            for of_config in trials.results:
                yield from (trial for trial in of_config if trial is not None)

    def require_finished(self) -> None:
        """Check that at least one trial completed or diverged.

        Raises:
            NotAvailableError: No trial has completed or diverged.
        """
        if not self.n_finished:
            raise NotAvailableError(
                "no_finished_trials",
                f"None of {self.planned_trials} planned trials has completed or diverged"
                + ("." if self.ended else " yet."),
            )

    def within_budget(self, gradient_evaluations: float) -> "TrialTable":
        """The table with every trial cut at a budget of gradient evaluations.

        Validation scores are read from the histories; measurements of the end (OOD scores,
        curvature) are dropped. A trial that spent the budget counts as completed, whatever its
        later outcome; one that diverged before stays diverged.
        """

        def cut(trial: TrialResult) -> TrialResult:
            outcome, history = trial.outcome, trial.history
            accuracy = loss = None
            if history is None:
                outcome = None  # when it ended is unknown
            else:
                spent, history = history.spent, history.within(gradient_evaluations)
                accuracy = history.val_accuracy[-1] if history.val_accuracy else None
                loss = history.val_loss[-1] if history.val_loss else None
                scores = history.validation(self.score)
                if scores and scores[-1] is not None and spent >= gradient_evaluations:
                    outcome = Outcome.COMPLETED
            return replace(
                trial,
                outcome=outcome,
                val_accuracy=accuracy,
                val_loss=loss,
                ood_accuracy=None,
                ood_loss=None,
                hessian_trace={},
                hessian_trace_stderr={},
                hessian_lambda_max={},
                ood_by_corruption={},
                ood_by_severity={},
                gradient_evaluations=gradient_evaluations,
                history=history,
            )

        return self._with_results(map(cut, self.results()), self.optimizers, self.planned_trials)

    def with_curves(
        self,
        histories: Mapping[str, History],
        ood_by_severity: Mapping[str, Mapping[str, Mapping[int, float]]],
    ) -> "TrialTable":
        """The table with learning curves and accuracies by severity added.

        Args:
            histories: By trial key.
            ood_by_severity: By trial key, corruption and severity.
        """

        def detailed(trial: TrialResult | None) -> TrialResult | None:
            if trial is None or not (trial.key in histories or trial.key in ood_by_severity):
                return trial
            return replace(
                trial,
                history=histories.get(trial.key, trial.history),
                ood_by_severity=ood_by_severity.get(trial.key, trial.ood_by_severity),
            )

        return replace(
            self,
            by_optimizer=tuple(
                replace(
                    trials,
                    results=tuple(tuple(map(detailed, of_config)) for of_config in trials.results),
                )
                for trials in self.by_optimizer
            ),
        )

    def only(self, labels: Sequence[str]) -> "TrialTable":
        """The table of some of the optimizers, in the given order.

        Raises:
            UnknownNameError: The sweep has no such optimizer.
        """
        chosen = [self.optimizer(label) for label in dict.fromkeys(labels)]
        results = (
            trial
            for trials in chosen
            for of_config in trials.results
            for trial in of_config
            if trial is not None
        )
        planned = sum(trials.n_planned for trials in chosen)
        return self._with_results(results, [trials.label for trials in chosen], planned)

    def _with_results(
        self, results: Iterable[TrialResult], optimizers: Sequence[str], planned_trials: int
    ) -> "TrialTable":
        """The table of other results on the same plan."""
        return TrialTable.from_results(
            results,
            chance_accuracy=self.chance_accuracy,
            score=self.score,
            optimizers=optimizers,
            axes={trials.label: trials.axes for trials in self.by_optimizer},
            seeds=self.seeds,
            workload=self.workload,
            search=self.search,
            planned_trials=planned_trials,
            facts=self.facts,
            ended=self.ended,
        )


def _check_scores(results: Iterable[TrialResult]) -> None:
    """Check that accuracies are fractions in [0, 1], and that no loss is negative."""
    for trial in results:
        for score in SCORES.values():
            values = {score.val_metric: trial.validation(score), score.ood_metric: trial.ood(score)}
            for name, value in values.items():
                if value is not None and isfinite(value) and not score.is_valid(value):
                    raise InvalidTrialsError(
                        f"{score.name}_out_of_range",
                        f"Trial {trial.key!r} has {name} {value}; {score.allowed} is needed.",
                    )


def _axes(
    results: Sequence[TrialResult], planned: Sequence[Axis] | None, search: Search
) -> list[Axis]:
    """The axes of one optimizer; a range, and any axis without a plan, with the values tried."""
    if planned is None:
        names = ordered(name for trial in results for name in trial.hyperparameters)
        return [Axis.of(name, _tried(results, name), is_range=search != "grid") for name in names]
    by_name = {axis.name: axis for axis in planned}
    return [
        Axis.of(name, _tried(results, name), scale=axis.scale, is_range=True)
        if (axis := by_name[name]).is_range
        else axis
        for name in ordered(by_name)
    ]


def _tried(results: Iterable[TrialResult], name: str) -> Iterator[Value]:
    """Values of one hyperparameter, in the order of the results."""
    return (trial.hyperparameters[name] for trial in results if name in trial.hyperparameters)
