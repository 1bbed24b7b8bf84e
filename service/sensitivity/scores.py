"""Scores: oriented seed means per configuration, the input of every statistic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.sensitivity import statistics
from service.sensitivity.intervals import N_RESAMPLES, resampled_means
from service.sensitivity.optimizer_trials import Floats, OptimizerTrials
from service.sensitivity.trial_table import TrialTable

__all__ = ["Scores", "score"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Oriented seed means of one optimizer over C configurations: higher is better.

    Attributes:
        trials: The trials behind them.
        val: [C] validation scores, NaN without a trial.
        evaluation: [C] OOD scores, or the validation scores in a sweep without OOD data.
        val_resamples: [R, C] under resampling of seeds, None where every
            configuration has one seed.
        evaluation_resamples: Likewise.
        n_seeds: Seeds of the configuration that has the fewest.
    """

    trials: OptimizerTrials
    val: Floats
    evaluation: Floats
    val_resamples: Floats | None
    evaluation_resamples: Floats | None
    n_seeds: int

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
        resample: Whether to bootstrap seeds; not needed without intervals.
        seed: Of the bootstrap; the same trials always give the same intervals.

    Raises:
        NotAvailableError: No trial has finished.
    """
    table.require_finished()
    scored = []
    for index, trials in enumerate(table.by_optimizer):
        if not trials.finished.any():
            continue
        n_seeds = trials.seeds_per_config
        measured = (
            trials.val,
            trials.ood if table.has_ood else trials.val,
        )
        val, evaluation = map(statistics.seed_means, measured)
        resamples: tuple[Floats | None, Floats | None] = (None, None)
        if resample and trials.finished.sum(axis=1).max() > 1:
            rng = np.random.default_rng((seed, index))
            if table.has_ood:
                resamples = resampled_means(*measured, rng=rng, n_resamples=N_RESAMPLES)  # type: ignore[assignment]
            else:
                (only,) = resampled_means(measured[0], rng=rng, n_resamples=N_RESAMPLES)
                resamples = (only, only)
        scored.append(Scores(trials, val, evaluation, *resamples, n_seeds))
    return scored
