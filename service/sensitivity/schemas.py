"""Schemas of a summary. Every number is finite; missing ones are null.

The formulas, ranges and sources are in the functions that compute them (``statistics``,
``selection_curves``, ``flatness_correlation``, ``rank_tests``, ``intervals``); the descriptions
here say how to read the numbers.
"""

from typing import Literal

from pydantic import Field, JsonValue

from service.sensitivity.axis_schemas import AxisDifference, AxisSummary, OnGridEdge, Tolerance
from service.sensitivity.published_schemas import PublishedMeasures, PublishedOfSweep
from service.sensitivity.strict_schema import Interval, Schema, finite
from service.sensitivity.trial_table import Search
from workers.catalog import LearningRateRole, WeightDecayKind
from workers.scores import ScoreName

__all__ = [
    "AxisSummary",
    "BestConfig",
    "Calibration",
    "Caveat",
    "Comparisons",
    "Correlation",
    "CumulativePerformance",
    "CurvatureValue",
    "ExpectedCurve",
    "FigureView",
    "FlatnessCorrelation",
    "GradientEvaluations",
    "Importance",
    "Interval",
    "NearOptimalFraction",
    "OnGridEdge",
    "OptimizerSummary",
    "PairComparison",
    "Schema",
    "ScoreStatistics",
    "SweepSummary",
    "TestSetSummary",
    "Tolerance",
    "TrialsToTarget",
    "Tunability",
    "UnscoredOptimizer",
    "finite",
]


class Caveat(Schema):
    """A limitation to know before relying on a number."""

    code: str = Field(examples=["learning_rate_is_initial_step_size"])
    message: str = Field(examples=["The learning rate is only the initial step size eta_0."])
    optimizers: list[str] = Field(
        default=[],
        description="Labels of the optimizers concerned; empty: all.",
        examples=[["SA-SAM"]],
    )


class CurvatureValue(Schema):
    """Curvature at one configuration: the median over its surviving seeds, and their range."""

    value: float
    low: float = Field(description="Smallest over seeds.")
    high: float = Field(description="Largest over seeds.")
    n_seeds: int
    standard_error: float | None = Field(
        default=None,
        description="Of the trace estimate: the median over seeds; null for lambda_max.",
    )


class Calibration(Schema):
    """How far predicted probabilities can be believed; means over the completed seeds.

    The definitions are in ``workers.calibration``. Lower is better.
    """

    nll: float | None = Field(description="Mean negative log-likelihood: the loss.")
    brier: float | None = Field(description="Brier score, 0 to 2.")
    ece: float | None = Field(description="Expected calibration error, 15 equal-width bins.")


class BestConfig(Schema):
    """The configuration that validation selects, and its measurements."""

    learning_rate: float | None = Field(
        description="Null where the search does not vary it.", examples=[0.01]
    )
    weight_decay: float | None = Field(
        description="Null where the search does not vary it.", examples=[1e-4]
    )
    on_grid_edge: OnGridEdge
    val_score: float = Field(examples=[0.938])
    val_score_interval: Interval | None
    ood_score: float | None = Field(examples=[0.739])
    ood_score_interval: Interval | None
    val_accuracy: float | None = Field(
        description="``val_score`` if the score is accuracy, else the mean over the completed"
        " trials, without an interval.",
        examples=[0.938],
    )
    val_accuracy_interval: Interval | None
    raised_to_chance: list[str] = Field(
        default=[],
        description="Metrics of the score to which a trial worse than a guess contributes, which"
        " counts as chance.",
        examples=[["val_accuracy"]],
    )
    ood_accuracy: float | None = Field(examples=[0.739])
    ood_accuracy_interval: Interval | None
    val_loss: float | None
    ood_loss: float | None
    calibration: dict[str, Calibration] = Field(
        default={},
        description="By split, where measured; that of OOD is the mean over the corrupted sets.",
    )
    hessian_trace: dict[str, CurvatureValue] = Field(description="Tr(H) by split.")
    hessian_lambda_max: dict[str, CurvatureValue] = Field(
        description="Largest eigenvalue by split."
    )
    learned: bool = Field(
        description="Made at least half of the best optimizer's progress over chance; otherwise"
        " flatness is trivial."
    )
    n_seeds: int
    hyperparameters: dict[str, JsonValue] = Field(
        description="Value of each hyperparameter that the search varies.",
        examples=[{"learning_rate": 0.01, "weight_decay": 1e-4, "optimizer.momentum": 0.9}],
    )


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


class FlatnessCorrelation(Schema):
    """Rank correlation of curvature with the score within a sweep; negative: flatter is better.

    Means over the optimizers where it is defined, each over its own configurations.
    """

    granulated_kendall: float | None = Field(
        description="Mean of psi (tau along one hyperparameter at a time); null off the grid."
    )
    kendall_tau: float | None = Field(description="Mean of tau-b over all configurations.")
    n_optimizers: int = Field(description="Optimizers with a tau-b.")
    n_configurations: int = Field(description="Configurations of these with both numbers.")


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


class PairComparison(Schema):
    """Optimizer ``a`` minus optimizer ``b`` on the configurations both were tried at.

    A positive difference means that ``a`` is better: a higher accuracy, or a lower loss.

    Where they search different spaces, only their selected configurations are compared, over seeds.
    """

    a: str
    b: str
    same_space: bool = Field(
        description="Whether both search the same values of the same hyperparameters; otherwise no"
        " configuration is paired, and the probability of improvement is that of the selected"
        " ones."
    )
    n_blocks: int
    mean_difference: float | None
    mean_difference_interval: Interval | None
    median_difference: float | None
    best_difference: float = Field(description="Between the two selected configurations.")
    best_difference_interval: Interval | None
    axis_differences: dict[str, AxisDifference] = Field(
        default={},
        description="Differences of the dependence on each hyperparameter, such as"
        " ``learning_rate.sensitivity``, ``learning_rate.off_by.10`` (S(10)) and"
        " ``learning_rate.width``; empty off a grid and where the spaces differ. They are costs,"
        " except a width: a positive difference means that ``a`` depends more.",
    )
    wins: int
    ties: int
    losses: int
    probability_of_improvement: float | None
    wilcoxon_w_plus: float | None
    wilcoxon_n: int | None
    wilcoxon_p: float | None
    wilcoxon_p_holm: float | None
    nemenyi_p: float | None


class Comparisons(Schema):
    """All pairs of optimizers; p-values hold within this grid only."""

    n_blocks: int = Field(description="Configurations that every optimizer was tried at.")
    pairs: list[PairComparison]
    mean_rank: dict[str, float] | None = Field(
        description="1 is best; null without a common block."
    )
    friedman_chi2: float | None = Field(description="Null below 3 optimizers or 5 blocks.")
    friedman_p: float | None
    critical_difference: float | None = Field(description="Nemenyi, 0.05; null below 5 blocks.")


class FigureView(Schema):
    """A figure that can be requested."""

    name: str = Field(examples=["trace-heatmap"])
    summary: str = Field(examples=["Fig. 2: Tr(H)."])
    options: list[str] = Field(
        description="Its query parameters beside the common ones.", examples=[["split"]]
    )


class SweepSummary(Schema):
    """Tuning sensitivity of every optimizer of a sweep."""

    workload: str = Field(examples=["VGG-19 on cifar10"])
    search: Search
    complete: bool = Field(description="False while the sweep runs or has holes.")
    ended: bool = Field(
        default=False, description="Whether no further trial will end, so that numbers are final."
    )
    gradient_evaluation_budget: float | None = Field(
        description="Every trial cut at this budget (equal compute); null: as trained."
    )
    learning_rates: list[float] = Field(examples=[[1e-4, 1e-3, 1e-2, 1e-1]])
    weight_decays: list[float] = Field(examples=[[0.0, 1e-8, 1e-6, 1e-4]])
    axes: dict[str, list[JsonValue] | None] = Field(
        description="Values of each hyperparameter over all optimizers; null for a range.",
        examples=[{"learning_rate": [1e-3, 1e-2], "optimizer.momentum": [0.0, 0.9]}],
    )
    n_seeds: int
    score: ScoreName = Field(
        default="accuracy",
        description="What ranks configurations: accuracy (a fraction, higher is better) or loss (in"
        " nats, lower is better). Regrets, sensitivities and differences are costs of it.",
    )
    chance_score: float = Field(
        description="Score of a uniform guess over C classes, 1 / C or ln C; that of diverged"
        " trials.",
        examples=[0.1],
    )
    chance_accuracy: float = Field(examples=[0.1])
    evaluation_split: Literal["ood", "validation"] = Field(
        description="What regret, sensitivity, tunability, importance and comparisons are"
        " computed on."
    )
    planned_trials: int
    finished_trials: int
    diverged_trials: int
    missing_by_outcome: dict[str, int] = Field(
        description="failed, cancelled, pruned, unfinished (started or not)."
    )
    epsilon: float
    target: float
    ci_level: float
    ci_method: str | None = Field(description="Null with one seed: there is no interval.")
    flatness_correlation: dict[str, dict[str, FlatnessCorrelation]] = Field(
        default={},
        description="How curvature and the score correlate, by metric and split: to be read with"
        " ``flattest``.",
    )
    flattest: dict[str, dict[str, str | None]] = Field(
        description="Optimizer with the curvature nearest to zero at its selected configuration,"
        " by metric and split, among those that learned; null when fewer than two did."
    )
    optimizers: list[OptimizerSummary]
    unscored_optimizers: list[UnscoredOptimizer] = Field(
        default=[], description="Optimizers without a completed or diverged trial, and why."
    )
    comparisons: Comparisons | None = Field(description="Null with one optimizer.")
    published: PublishedOfSweep = Field(
        description="Published measures over all optimizers of the sweep."
    )
    caveats: list[Caveat]

    def optimizer(self, label: str) -> OptimizerSummary:
        """The summary of one optimizer.

        Raises:
            KeyError: The sweep has no such optimizer.
        """
        for summary in self.optimizers:
            if summary.optimizer == label:
                return summary
        raise KeyError(label)
