"""Comparison of optimizers over several workloads.

Scores are normalised within each workload, (score - chance) / (best - chance), so that no workload
counts more because it is easier. A performance profile is the share of workloads in which an
optimizer needs at most tau times the tuning trials of the best one.

Sources: Dolan & More 2002, "Benchmarking optimization software with performance profiles"; Dahl et
al. 2023 (AlgoPerf: the profile's normalised area up to tau = 4); Adkins, Bowling & White 2024, "A
method for evaluating hyperparameter sensitivity in reinforcement learning".
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from service.sensitivity import rank_tests
from service.sensitivity.errors import NotAvailableError
from service.sensitivity.measures import (
    TAU_MAX,
    performance_profile,
    performance_ratios,
    profile_area,
)
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.published_schemas import PublishedAcrossWorkloads
from service.sensitivity.published_workloads import published_across_workloads
from service.sensitivity.scores import Scores, score
from service.sensitivity.statistics import SCORE_DECIMALS, known_mean
from service.sensitivity.strict_schema import Schema, finite
from service.sensitivity.sweep_summary import summarize
from service.sensitivity.trial_table import TrialTable
from workers.scores import ScoreName

__all__ = [
    "OptimizerAcrossWorkloads",
    "WorkloadsSummary",
    "compare_workloads",
    "hyperparameter_sensitivity",
    "performance_profile",
    "performance_ratios",
    "profile_area",
]

_TAUS = tuple(np.linspace(1.0, TAU_MAX, 61).tolist())


class OptimizerAcrossWorkloads(Schema):
    """One optimizer over all workloads; null where it was not tried or misses the target."""

    optimizer: str
    title: str
    normalised_scores: dict[str, float | None] = Field(
        description="(score - chance) / (best - chance) at the selected configuration, by workload."
    )
    mean_normalised_score: float | None
    trials_to_target: dict[str, float | None] = Field(
        description="Expected configurations until the workload's target, by workload."
    )
    performance_profile: list[float] = Field(
        description="Share of workloads within tau times the fewest trials, for each of taus."
    )
    profile_score: float = Field(description="Area under the profile up to tau 4, over 3.")
    hyperparameter_sensitivity: float | None = Field(
        description="Normalised score lost by one configuration for all workloads; null unless"
        " every workload has the same configurations."
    )
    published: PublishedAcrossWorkloads = Field(
        description="Measures as they were published; docs/measures.md has their sources."
    )


class WorkloadsSummary(Schema):
    """Several sweeps side by side."""

    workloads: list[str]
    score: ScoreName = Field(default="accuracy", description="What ranks configurations.")
    epsilon: float
    targets: dict[str, float] = Field(
        description="Score that is worse than the best by epsilon, by workload."
    )
    taus: list[float]
    optimizers: list[OptimizerAcrossWorkloads]
    friedman_chi2: float | None = Field(description="Over workloads; null below 5 of them.")
    friedman_p: float | None
    mean_rank: dict[str, float] | None
    critical_difference: float | None


def compare_workloads(
    tables: Mapping[str, TrialTable], *, epsilon: float | None = None
) -> WorkloadsSummary:
    """Compare optimizers over workloads.

    Args:
        tables: One sweep per workload, by a distinct name.
        epsilon: A workload's target is worse than its best score by this; by default as in
            :func:`summarize`.

    Raises:
        NotAvailableError: Fewer than two workloads, or one without a finished trial.
    """
    if len(tables) < 2:
        raise NotAvailableError(
            "needs_two_workloads",
            f"Comparing workloads needs at least two; got {len(tables)}.",
            ("the summary of the one sweep",),
        )
    summaries = {name: summarize(table, epsilon=epsilon) for name, table in tables.items()}
    scored = {name: score(table, resample=False) for name, table in tables.items()}
    titles = {
        trials.label: trials.title for table in tables.values() for trials in table.by_optimizer
    }
    labels = list(titles)
    normalised = {name: _normalised(scored[name], tables[name].chance) for name in tables}
    expected = np.full((len(labels), len(tables)), math.nan)
    chosen = np.full((len(labels), len(tables)), math.nan)
    for column, name in enumerate(tables):
        for summary, scores in zip(summaries[name].optimizers, scored[name], strict=True):
            row = labels.index(summary.optimizer)
            expected[row, column] = summary.trials_to_target.expected_trials or math.nan
            chosen[row, column] = normalised[name][summary.optimizer][scores.selected]
    published = published_across_workloads(labels, tables, summaries, scored, _TAUS)
    ratios = performance_ratios(expected)
    everywhere = ~np.isnan(chosen).any(axis=1)
    ranked = np.round(chosen[everywhere].T, SCORE_DECIMALS)
    several, enough = ranked.shape[1] > 1, len(tables) >= rank_tests.MIN_BLOCKS
    chi2, p_value = (
        rank_tests.friedman(ranked) if enough and ranked.shape[1] > 2 else (math.nan, math.nan)
    )
    present = [
        label for label, is_everywhere in zip(labels, everywhere, strict=True) if is_everywhere
    ]
    return WorkloadsSummary(
        workloads=list(tables),
        score=next(iter(summaries.values())).score,
        epsilon=next(iter(summaries.values())).epsilon,
        targets={name: summary.target for name, summary in summaries.items()},
        taus=list(_TAUS),
        optimizers=[
            OptimizerAcrossWorkloads(
                optimizer=label,
                title=titles[label],
                normalised_scores=_by_workload(tables, chosen[row]),
                mean_normalised_score=finite(known_mean(chosen[row])),
                trials_to_target=_by_workload(tables, expected[row]),
                performance_profile=performance_profile(ratios[row], _TAUS).tolist(),
                profile_score=profile_area(ratios[row]),
                hyperparameter_sensitivity=_sensitivity(label, scored, normalised),
                published=published[label],
            )
            for row, label in enumerate(labels)
        ],
        friedman_chi2=finite(chi2),
        friedman_p=finite(p_value),
        mean_rank=dict(zip(present, rank_tests.mean_ranks(ranked).tolist(), strict=True))
        if several
        else None,
        critical_difference=rank_tests.critical_difference(ranked.shape[1], len(tables))
        if several and enough
        else None,
    )


def hyperparameter_sensitivity(scores: Floats) -> float:
    """Phi = mean_w max_h S - max_h mean_w S, in [0, 1]: the cost of one configuration for all.

    Args:
        scores: [configurations, workloads] of normalised scores, no NaN.
    """
    return float(scores.max(axis=0).mean() - scores.mean(axis=1).max())


def _normalised(scored: Sequence[Scores], chance: float) -> dict[str, Floats]:
    """Evaluation scores of a workload between chance (0) and its best (1), by optimizer."""
    best = max(float(np.nanmax(scores.evaluation)) for scores in scored)
    width = best - chance
    return {
        scores.trials.label: (scores.evaluation - chance) / width
        if width > 0
        else np.where(np.isnan(scores.evaluation), math.nan, 0.0)
        for scores in scored
    }


def _sensitivity(
    label: str,
    scored: Mapping[str, Sequence[Scores]],
    normalised: Mapping[str, Mapping[str, Floats]],
) -> float | None:
    """Phi of one optimizer; None unless all workloads have all its configurations."""
    columns, places = [], []
    for name, of_workload in scored.items():
        for scores in of_workload:
            if scores.trials.label == label:
                columns.append(normalised[name][label])
                places.append(list(scores.trials.configurations))
    same = len(columns) == len(scored) and all(place == places[0] for place in places)
    if not same or any(np.isnan(column).any() for column in columns):
        return None
    return hyperparameter_sensitivity(np.stack(columns, axis=1))


def _by_workload(tables: Mapping[str, TrialTable], values: Floats) -> dict[str, float | None]:
    """One number per workload."""
    return {name: finite(value) for name, value in zip(tables, values.tolist(), strict=True)}
