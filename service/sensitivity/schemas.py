"""Schemas of a summary. Every number is finite; missing ones are null.

The formulas, ranges and sources are in the functions that compute them (``statistics``,
``selection_curves``, ``flatness_correlation``, ``rank_tests``, ``intervals``); the descriptions
here say how to read the numbers.
"""

from typing import Literal

from pydantic import Field, JsonValue

from service.sensitivity.axis_schemas import AxisDifference
from service.sensitivity.optimizer_schemas import OptimizerSummary, UnscoredOptimizer
from service.sensitivity.published_schemas import PublishedOfSweep
from service.sensitivity.strict_schema import Interval, Schema
from service.sensitivity.trial_table import Search
from workers.scores import ScoreName

__all__ = [
    "Caveat",
    "Comparisons",
    "FigureView",
    "FlatnessCorrelation",
    "PairComparison",
    "SweepSummary",
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
