"""Asynchronous successive halving (ASHA), in the variant that stops trials.

    rungs at grace * eta^k epochs, k = 0, 1, ..., below the last epoch, for each optimizer
    at a rung: go on if the metric is among the best max(1, n // eta) of the n that came as far

Each optimizer has rungs of its own: within a shared one, an optimizer that learns slower at first
would lose all its trials to one that starts fast, which is what a sweep is to find out, not to
decide.

Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning". Departure: a trial
that is behind is stopped, not paused, as in Ray Tune's ASHAScheduler and Optuna's
SuccessiveHalvingPruner; unlike in the former the trial itself counts among the n, and rungs are
rebuilt from the journal.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from workers.journal import Journal
from workers.spec import AshaSpec, TrialConfig

__all__ = ["AshaScheduler", "SuccessiveHalving"]


class SuccessiveHalving:
    """The rungs and what was decided at them.

    Args:
        spec: Metric, first rung and reduction factor.
        epochs: Length of a trial.
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
        """Keys of the trials that are to stop."""

    def goes_on(self, key: str, label: str, epoch: int, metrics: dict[str, Any]) -> bool:
        """Note what a trial reports after an epoch; returns whether it goes on.

        Args:
            key: The trial.
            label: Of its optimizer.
            epoch: Epochs done.
            metrics: By name; one without the metric counts as the worst.
        """
        if key not in self.stopped and epoch in self._milestones:
            self._judge(key, label, epoch, metrics.get(self._metric))
        return key not in self.stopped

    def _judge(self, key: str, label: str, milestone: int, value: float | None) -> None:
        """Decide about a trial at a rung, once."""
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
        halving: The rungs.
        journal: What happened before; the rungs are rebuilt from it, decisions included.
        labels: Label of the optimizer of each trial in the journal, by key.
    """

    def __init__(
        self, halving: SuccessiveHalving, journal: Journal, labels: dict[str, str]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._halving = halving
        self._trials: dict[str, tuple[str, str]] = {}
        for entry in journal.entries():
            if entry.kind == "epoch" and entry.trial in labels:
                metrics, epoch = entry.data["metrics"], entry.data["epoch"]
                halving.goes_on(entry.trial, labels[entry.trial], epoch, metrics)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its scheduler for a restore that never happens here."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop a trial that is behind."""
        return str(TrialScheduler.CONTINUE if self._goes_on(trial, result) else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Count a trial that diverged at a rung, which Tune ends without asking."""
        if result:
            self._goes_on(trial, result)

    def _goes_on(self, trial: Trial, result: dict[str, Any]) -> bool:
        if trial.trial_id not in self._trials:
            config = TrialConfig.model_validate(trial.config["trial"])
            self._trials[trial.trial_id] = (config.key, config.optimizer_label)
        key, label = self._trials[trial.trial_id]
        return self._halving.goes_on(key, label, result["epoch"], result)
