"""Asynchronous successive halving (ASHA), in the variant that stops trials.

    rungs at grace * eta^k epochs, k = 0, 1, ..., below the last epoch, for each optimizer
    at a rung: continue if the metric is among the best max(1, n // eta) of the n trials so far

Each optimizer has rungs of its own. With shared rungs, an optimizer that learns slowly at first
would lose all its trials to a fast one, and the sweep could not compare them.

Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning". Departure: a trial
that falls behind is stopped, not paused, as in Ray Tune's ASHAScheduler and Optuna's
SuccessiveHalvingPruner. Unlike in Tune's, the trial itself counts among the n, and the rungs are
rebuilt from the journal.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from workers.journal import Journal
from workers.spec import AshaSpec, SweepSpec, TrialConfig
from workers.tune_scheduler import InOrderScheduler, first_waiting

__all__ = ["AshaScheduler", "SuccessiveHalving", "make_scheduler"]


def make_scheduler(specification: SweepSpec, journal: Journal) -> AshaScheduler | InOrderScheduler:
    """The scheduler of a sweep."""
    if specification.early_stopping is None:
        return InOrderScheduler()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    suggested = [
        trial
        for s in journal.suggestions
        for trial in specification.expand(s.label, s.number, s.configuration).values()
    ]
    labels = {trial.key: trial.optimizer_label for trial in (*specification.trials, *suggested)}
    longest = max(trial.training.epochs for trial in specification.trials or specification.corners)
    halving = SuccessiveHalving(specification.early_stopping, longest)
    return AshaScheduler(halving, journal, labels)


class SuccessiveHalving:
    """The rungs of each optimizer and the decisions at them.

    Args:
        spec: Metric, first rung and reduction factor.
        epochs: Length of the longest trial, in epochs.
    """

    def __init__(self, spec: AshaSpec, epochs: int) -> None:
        self._metric = spec.metric
        self._factor = spec.reduction_factor
        self._sign = 1.0 if spec.direction == "maximize" else -1.0
        self._milestones: list[int] = []
        milestone = spec.grace_epochs
        while milestone < epochs:
            self._milestones.append(milestone)
            milestone *= spec.reduction_factor
        self._rungs: dict[tuple[str, int], list[float]] = {}
        self._passed: set[tuple[str, int]] = set()
        self.stopped: set[str] = set()
        """Keys of the stopped trials."""

    def continues(self, key: str, label: str, epoch: int, metrics: dict[str, Any]) -> bool:
        """Record a report of a trial; return whether the trial continues.

        Args:
            key: Trial key.
            label: Label of its optimizer.
            epoch: Completed epochs.
            metrics: Values by name; if the metric is missing, the trial counts as the worst.
        """
        if key not in self.stopped and epoch in self._milestones:
            self._judge(key, label, epoch, metrics.get(self._metric))
        return key not in self.stopped

    def _judge(self, key: str, label: str, milestone: int, value: float | None) -> None:
        """Decide once whether a trial stops at a rung."""
        if (key, milestone) in self._passed:
            return
        self._passed.add((key, milestone))
        rung = self._rungs.setdefault((label, milestone), [])
        score = float("-inf") if value is None else self._sign * value
        insort(rung, score)
        better = len(rung) - bisect_right(rung, score)
        if better >= max(1, len(rung) // self._factor):
            self.stopped.add(key)


class AshaScheduler(FIFOScheduler):
    """Stops the trials of a Tune run that fall behind.

    Args:
        halving: The rungs, still empty.
        journal: Journal of the sweep; rungs and decisions are rebuilt from it.
        labels: Optimizer label by trial key, for the trials in the journal.
    """

    def __init__(
        self, halving: SuccessiveHalving, journal: Journal, labels: dict[str, str]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._halving = halving
        self._labels: dict[str, str] = {}
        for entry in journal.entries():
            if entry.kind == "epoch" and entry.trial in labels:
                metrics, epoch = entry.data["metrics"], entry.data["epoch"]
                halving.continues(entry.trial, labels[entry.trial], epoch, metrics)

    def __getstate__(self) -> dict[str, Any]:
        """No state: Tune pickles its scheduler for a restore, which is not used here."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that gets the next free process."""
        return first_waiting(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop a trial that falls behind."""
        return str(
            TrialScheduler.CONTINUE if self._continues(trial, result) else TrialScheduler.STOP
        )

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Count a trial that ended at a rung; Tune does not call `on_trial_result` for it."""
        if result:
            self._continues(trial, result)

    def _continues(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Record the result of a Tune trial; return whether it continues.

        With early stopping a Tune trial runs one trial and reports one epoch at a time.
        """
        if trial.trial_id not in self._labels:
            (item,) = trial.config["trials"]
            config = TrialConfig.of_accepted_sweep(item["trial"])
            self._labels[trial.trial_id] = config.optimizer_label
        label = self._labels[trial.trial_id]
        return all(
            self._halving.continues(
                report["key"], label, report["record"]["epoch"], report["record"]
            )
            for report in result["reports"]
        )
