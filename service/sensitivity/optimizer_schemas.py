"""Schemas of the statistics of one optimizer. Every number is finite; missing ones are null."""

from typing import Literal

from pydantic import Field

from service.sensitivity.axis_schemas import AxisSummary, Tolerance
from service.sensitivity.configuration_schemas import BestConfig
from service.sensitivity.published_schemas import PublishedMeasures
from service.sensitivity.strict_schema import Interval, Schema
from workers.catalog import LearningRateRole, WeightDecayKind

__all__ = [
    "Correlation",
    "CumulativePerformance",
    "ExpectedCurve",
    "GradientEvaluations",
    "Importance",
    "NearOptimalFraction",
    "OptimizerSummary",
    "ScoreStatistics",
    "TestSetSummary",
    "TrialsToTarget",
    "Tunability",
    "UnscoredOptimizer",
]


class ScoreStatistics(Schema):
    """Distribution of a score over configurations (seed means); ``iqm`` over all trials."""

    mean: float
    median: float
    iqm: float = Field(description="Mean of the middle half of all trials.")
    std: float | None = Field(description="ddof 1; null with one configuration.")
    iqr: float
    min: float
    max: float


class NearOptimalFraction(Schema):
    """Share of configurations near a best; own_best alone flatters a poor optimizer."""

    epsilon: float
    own_best: float
    shared_best: float = Field(description="Against the best over all optimizers of the sweep.")
    shared_best_count: int


class Tunability(Schema):
    """Score gained by tuning over a default configuration; negative: validation misled."""

    default_learning_rate: float | None
    default_weight_decay: float | None
    default_score: float
    default_accuracy: float | None = Field(description="Null where the score is not accuracy.")
    overall: float
    learning_rate: float | None = Field(description="Only the learning rate tuned.")
    weight_decay: float | None = Field(description="Only the weight decay tuned.")


class ExpectedCurve(Schema):
    """Expected score after trying n random configurations and keeping the best by validation."""

    method: Literal["without_replacement", "with_replacement"]
    configurations: list[int] = Field(description="n, never beyond the number of configurations.")
    values: list[float]


class CumulativePerformance(Schema):
    """Weighted means of the expected-maximum curve; ``early`` favours small tuning budgets."""

    early: float
    uniform: float
    late: float
    one_shot: float = Field(description="One random configuration.")
    peak: float = Field(description="Every configuration tried.")


class Importance(Schema):
    """Functional ANOVA: shares of the variance over configurations, null if nothing varies."""

    method: Literal["exact", "random_forest"] = Field(
        description="Exact on a full grid; estimated by a random forest for other searches."
    )
    total_variance: float
    learning_rate: float | None
    weight_decay: float | None
    interaction: float | None = Field(
        description="What no hyperparameter explains alone; ``axes`` of the optimizer's summary has"
        " the share of each."
    )


class Correlation(Schema):
    """Rank correlation of a curvature metric with the score; negative: flatter is better."""

    n: int
    kendall_tau: float | None
    spearman_rho: float | None
    granulated_kendall: dict[str, float | None] = Field(
        description="tau along each hyperparameter, and their mean psi; empty off the grid."
    )
    lines_used: dict[str, int]
    kendall_tau_diverged_as_sharpest: float | None
    n_learned: int = Field(description="Configurations that learned.")
    kendall_tau_learned: float | None = Field(description="tau among those only.")


class TrialsToTarget(Schema):
    """Expected configurations to try until one reaches the target; null: none does."""

    target: float
    n_hits: int
    expected_trials: float | None


class GradientEvaluations(Schema):
    """Cost of training: a step takes 3 in SA-SAM, 2 in SAM and SA-SGD, 1 in MSGD and Adam."""

    per_trial: float
    total: float


class TestSetSummary(Schema):
    """Results on a further test set, which selects nothing.

    A diverged trial counts as chance, as in all scores.
    """

    score: float = Field(description="Of the configuration that validation selects.")
    score_interval: Interval | None
    accuracy: float | None = Field(
        description="``score`` if it is accuracy, else the mean over the completed trials, without"
        " an interval."
    )
    accuracy_interval: Interval | None
    mean: float = Field(description="Mean score over configurations (seed means).")
    importance: dict[str, float | None] = Field(
        description="Share of the variance of this score that each hyperparameter explains alone"
        " (fANOVA)."
    )
    importance_intervals: dict[str, Interval] = Field(description="Seed intervals of these.")


class OptimizerSummary(Schema):
    """How much one optimizer depends on tuning."""

    optimizer: str = Field(
        description="Its label; its name where it has none.", examples=["sa-sam"]
    )
    title: str = Field(description="Display name.", examples=["SA-SAM"])
    optimizer_name: str = Field(description="Name in the catalog.", examples=["sa-sam"])
    learning_rate_role: LearningRateRole
    weight_decay_kind: WeightDecayKind | None = None
    """``coupled``, ``decoupled``, or ``exempting`` biases and normalisation layers; absent if
    unknown."""
    sentence: str = Field(
        description="Main findings in one sentence.",
        examples=[
            "SA-SAM: 73.9 % OOD accuracy at its selected configuration; within 1 point of the"
            " best on 2 of 16 configurations; loses 1.3 points between its best and its mean"
            " learning rate."
        ],
    )

    lr_tolerance: Tolerance | None = Field(
        description="What a learning rate k times too small or too large costs, and how many"
        " decades of it are good; null off a grid and below three learning rates"
        " (``axes.learning_rate.undefined`` says which)."
    )
    n_configs: int = Field(description="Configurations with at least one finished trial.")
    n_trials: int = Field(description="Finished trials: completed or diverged.")
    n_diverged: int
    n_missing: int = Field(description="Planned but failed, cancelled, pruned or unfinished.")
    n_raised_to_chance: int = Field(
        default=0,
        description="Completed trials worse than a guess (accuracy below chance, loss above that of"
        " a guess), which count as chance.",
    )
    n_configs_any_diverged: int
    n_configs_all_diverged: int
    divergence_rate: float = Field(examples=[0.0833])
    divergence_rate_interval: Interval = Field(description="Wilson.")

    best_config: BestConfig
    oracle_ood_score: float | None = Field(description="Best OOD score of any configuration.")
    oracle_ood_accuracy: float | None = Field(
        description="This and other keys of accuracy are null where the score is not accuracy;"
        " those of the score are always there."
    )
    selection_regret: float
    ood_score: ScoreStatistics | None
    val_score: ScoreStatistics
    ood_accuracy: ScoreStatistics | None
    val_accuracy: ScoreStatistics | None
    mean_regret: float | None = Field(
        description="Null where one configuration was scored: nothing was varied.",
        examples=[0.0229],
    )
    mean_regret_val: float | None
    lr_sensitivity: float | None = Field(
        description="Best less mean over the learning rates of the grid, so it depends on their"
        " range; null off the grid and with one learning rate.",
        examples=[0.0133],
    )
    lr_sensitivity_val: float | None
    lr_sensitivity_wd_marginal: float | None = Field(
        description="With the mean over weight decays."
    )
    lr_curve: list[float | None] | None = Field(
        description="One value per learning rate.", examples=[[0.709, 0.728, 0.739, 0.727]]
    )
    wd_sensitivity: float | None
    wd_curve: list[float | None] | None = Field(description="One value per weight decay.")
    axes: dict[str, AxisSummary] = Field(
        description="By hyperparameter, those of all optimizers of the sweep; ``lr_...`` and"
        " ``wd_...`` repeat those of the learning rate and the weight decay."
    )
    near_optimal_fraction: NearOptimalFraction
    tunability: Tunability | None = Field(description="Null where the default was not tried.")
    expected_best_val_score: ExpectedCurve
    expected_selected_ood_score: ExpectedCurve | None
    expected_max_val_accuracy: ExpectedCurve | None
    expected_selected_ood_accuracy: ExpectedCurve | None
    cumulative_performance: CumulativePerformance
    hyperparameter_importance: Importance | None = Field(
        description="Null for a grid with holes, or fewer than 10 configurations of another search."
    )
    curvature_correlation: dict[str, dict[str, Correlation]] = Field(
        description="By metric (hessian_trace, hessian_lambda_max), then split."
    )
    trials_to_target: TrialsToTarget
    gradient_evaluations: GradientEvaluations | None
    test_sets: dict[str, TestSetSummary] = Field(
        default={}, description="By further test set, such as cifar10.1-v6."
    )
    intervals: dict[str, Interval] = Field(
        description="Seed intervals by statistic (ood_accuracy.mean, lr_sensitivity, ...); empty"
        " with one seed."
    )
    published: PublishedMeasures = Field(
        description="Measures as they were published; docs/measures.md has their sources."
    )


class UnscoredOptimizer(Schema):
    """An optimizer of the sweep without a completed or diverged trial: it has no numbers."""

    optimizer: str = Field(description="Its label.", examples=["adam"])
    title: str = Field(description="Display name.", examples=["Adam"])
    reason: str = Field(description="What became of its trials.", examples=["all 16 trials failed"])
    outcomes: dict[str, int] = Field(
        description="Its planned trials by outcome: failed, cancelled, pruned, unfinished."
    )
    sentence: str = Field(examples=["Adam: no result, since all 16 trials failed."])
