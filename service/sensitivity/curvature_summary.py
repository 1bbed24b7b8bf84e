"""Curvature of one optimizer: at a configuration, and its correlation with the score."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from service.sensitivity import flatness_correlation
from service.sensitivity.configuration_schemas import CurvatureValue
from service.sensitivity.optimizer_schemas import Correlation
from service.sensitivity.optimizer_trials import CURVATURE_METRICS, OptimizerTrials
from service.sensitivity.schemas import FlatnessCorrelation
from service.sensitivity.scores import Scores
from service.sensitivity.strict_schema import finite
from service.sensitivity.trial_table import TrialTable

__all__ = ["correlations", "curvature_at", "sweep_correlations"]


def curvature_at(
    trials: OptimizerTrials, config: int, metric: str, split: str
) -> CurvatureValue | None:
    """Curvature at one configuration: median and range over its surviving seeds; None without."""
    values = trials.curvature(metric, split, config)
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    error = math.nan
    if metric == "hessian_trace":
        errors = trials.measured(lambda trial: trial.hessian_trace_stderr.get(split), config)
        error = float(flatness_correlation.seed_median(errors))
    return CurvatureValue(
        value=float(np.median(values)),
        low=float(values.min()),
        high=float(values.max()),
        n_seeds=values.size,
        standard_error=finite(error),
    )


def correlations(
    scores: Scores, table: TrialTable, shared_best: float
) -> dict[str, dict[str, Correlation]]:
    """Rank correlations of every curvature metric on every split with the evaluation score."""
    trials = scores.trials
    found: dict[str, dict[str, Correlation]] = {}
    has_learned = flatness_correlation.learned(scores.evaluation, shared_best, table.chance)
    for metric in CURVATURE_METRICS:
        for split in table.curvature_splits:
            medians = flatness_correlation.seed_median(trials.curvature(metric, split))
            if np.isnan(medians).all():
                continue
            association = flatness_correlation.associate(
                medians,
                scores.evaluation,
                diverged=trials.all_diverged,
                learned=has_learned,
                grid=None
                if trials.shape is None
                else {axis.name: len(axis) for axis in trials.axes},
            )
            found.setdefault(metric, {})[split] = _correlation(association)
    return found


def sweep_correlations(
    by_optimizer: Sequence[Mapping[str, Mapping[str, Correlation]]],
) -> dict[str, dict[str, FlatnessCorrelation]]:
    """Means of the optimizers' correlations, by metric and split.

    Args:
        by_optimizer: Result of :func:`correlations` of each optimizer.
    """
    found: dict[str, dict[str, list[Correlation]]] = {}
    for metrics in by_optimizer:
        for metric, splits in metrics.items():
            for split, correlation in splits.items():
                found.setdefault(metric, {}).setdefault(split, []).append(correlation)
    return {
        metric: {split: _mean_correlation(each) for split, each in splits.items()}
        for metric, splits in found.items()
    }


def _mean_correlation(correlations: Sequence[Correlation]) -> FlatnessCorrelation:
    """The means over optimizers where they are defined."""
    psi = [each.granulated_kendall.get("psi") for each in correlations]
    granulated = [value for value in psi if value is not None]
    defined = [(each.kendall_tau, each.n) for each in correlations if each.kendall_tau is not None]
    return FlatnessCorrelation(
        granulated_kendall=sum(granulated) / len(granulated) if granulated else None,
        kendall_tau=sum(tau for tau, _ in defined) / len(defined) if defined else None,
        n_optimizers=len(defined),
        n_configurations=sum(n for _, n in defined),
    )


def _correlation(association: flatness_correlation.Association) -> Correlation:
    """An association as a schema."""
    granulated = {name: finite(tau) for name, tau in association.granulated.items()}
    return Correlation(
        n=association.n,
        kendall_tau=finite(association.kendall_tau),
        spearman_rho=finite(association.spearman_rho),
        granulated_kendall=granulated | {"psi": finite(association.psi)} if granulated else {},
        lines_used=association.lines,
        kendall_tau_diverged_as_sharpest=finite(association.kendall_tau_diverged_as_sharpest),
        n_learned=association.n_learned,
        kendall_tau_learned=finite(association.kendall_tau_learned),
    )
