"""Scores: oriented seed means per configuration, the input of every statistic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.sensitivity import statistics
from service.sensitivity.optimizer_trials import Floats, OptimizerTrials
from service.sensitivity.seed_noise import RepeatedSweeps, repeat_sweeps
from service.sensitivity.trial_table import TrialTable

__all__ = ["Scores", "score"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Oriented seed means of one optimizer over C configurations: higher is better.

    Attributes:
        trials: The trials behind them.
        val: [C] validation scores, NaN without a trial.
        evaluation: [C] OOD scores, or the validation scores in a sweep without OOD data.
        repeated: Sweeps simulated with the seed noise, one entry per plausible surface of true
            scores; empty where too few configurations have two seeds.
    """

    trials: OptimizerTrials
    val: Floats
    evaluation: Floats
    repeated: tuple[RepeatedSweeps, ...] = ()

    @property
    def evaluation_trials(self) -> Floats:
        """[C, S] oriented scores behind ``evaluation``."""
        ood = self.trials.ood
        return self.trials.val if np.isnan(ood).all() else ood

    @property
    def selected(self) -> int:
        """Index of the configuration that validation selects."""
        return int(statistics.select(self.val))


def score(table: TrialTable, *, resample: bool = True, seed: int = 0) -> Sequence[Scores]:
    """Score every optimizer that has a finished trial, in the order of the table.

    Args:
        table: The trials.
        resample: Whether to simulate seed noise; not needed without intervals.
        seed: Of the simulation; the same trials always give the same intervals.

    Raises:
        NotAvailableError: No trial has finished.
    """
    table.require_finished()
    scored = []
    for index, trials in enumerate(table.by_optimizer):
        if not trials.finished.any():
            continue
        measured = trials.ood if table.has_ood else trials.val
        val, evaluation = map(statistics.seed_means, (trials.val, measured))
        repeated: tuple[RepeatedSweeps, ...] = ()
        if resample:
            repeated = repeat_sweeps(
                trials.val,
                measured if table.has_ood else None,
                silent=trials.all_diverged | (evaluation <= table.chance),
                rng=np.random.default_rng((seed, index)),
            )
        scored.append(Scores(trials, val, evaluation, repeated))
    return scored
