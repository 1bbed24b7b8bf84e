"""Schemas of published measures; the formulas and sources are in ``measures`` and docs/measures.md.

A measure that these trials do not define is null, and ``undefined`` says why.
"""

from typing import Literal

from pydantic import Field, JsonValue

from service.sensitivity.strict_schema import Schema

__all__ = [
    "BestAtBudget",
    "CostToTarget",
    "DimensionView",
    "GainMatrix",
    "LocalOptimality",
    "LossSensitivityView",
    "MeasuredNeighbour",
    "OneForAll",
    "PublishedAcrossWorkloads",
    "PublishedMeasures",
    "PublishedOfSweep",
    "Reason",
    "RunAggregates",
    "ScoreProfile",
    "TuningCurve",
]


class Reason(Schema):
    """Why a measure is null, or what to know before relying on it."""

    code: str = Field(examples=["needs_grid"])
    message: str = Field(examples=["It needs lines of a grid; this is a random search."])


class LossSensitivityView(Schema):
    """Learning-rate sensitivity of Wortsman et al. 2023 in loss; holds for its range only.

    It has no seed interval: a minimum over noisy cells is biased, and so would be the interval.
    """

    value: float = Field(description="E[min(l, l0) - l*] over the learning rates given.")
    log_uniform: float = Field(
        description="The same by the trapezoidal rule on the log axis, for uneven spacing."
    )
    learning_rate_low: float = Field(description="a")
    learning_rate_high: float = Field(description="b")
    n_rates: int
    evenly_spaced: bool = Field(description="On the log axis, as ``value`` assumes.")
    best_loss: float = Field(description="l*")
    initial_loss: float = Field(description="l0, the loss of a uniform prediction.")


class BestAtBudget(Schema):
    """Probability of being the best optimizer of the sweep after n random trials each."""

    configurations: list[int] = Field(description="n, up to the smallest number of any optimizer.")
    probabilities: list[float]


class TuningCurve(Schema):
    """Validation score of the best of n random configurations, with simultaneous 95 % bands.

    A null end of a band is without bound: the data say nothing there.
    """

    method: Literal["ld_equal_tailed", "ks"]
    confidence: float = Field(description="That the band holds at every n at once.")
    is_random_sample: bool = Field(
        description="Whether the configurations were drawn at random, as the bands assume; those of"
        " a grid were not."
    )
    configurations: list[int] = Field(description="n")
    median: list[float]
    median_low: list[float | None]
    median_high: list[float | None]
    mean: list[float]
    mean_low: list[float | None]
    mean_high: list[float | None]


class CostToTarget(Schema):
    """Cost of tuning at random until a configuration reaches the target; null: none does."""

    target: float
    n_hits: int = Field(description="Configurations that reach it.")
    trials: float | None
    gradient_evaluations: float | None = Field(
        description="Of all trials until then, one seed each."
    )
    fastest_gradient_evaluations: float | None = Field(
        description="Of the cheapest trial that reaches it: the median over seeds, as AlgoPerf"
        " takes it over studies."
    )


class ScoreProfile(Schema):
    """Distribution of the normalised scores of all trials, (x - chance) / (best - chance).

    Of losses as well: 0 is that of a uniform guess, 1 the lowest.
    """

    n_runs: int
    taus: list[float]
    shares: list[float] = Field(description="Share of trials above each tau.")
    interquartile_mean: float
    optimality_gap: float = Field(description="Mean shortfall from the best, gamma = 1.")


class MeasuredNeighbour(Schema):
    """A configuration that differs from the selected one in one hyperparameter."""

    hyperparameter: str = Field(examples=["learning_rate"])
    value: JsonValue
    status: Literal[
        "worse",
        "equal",
        "better",
        "off_grid",
        "not_run",
        "failed",
        "cancelled",
        "pruned",
    ] = Field(description="off_grid: the next value beyond the edge, which was not planned.")
    difference: float | None = Field(
        description="Difference from the validation score of the selected configuration, positive"
        " if better."
    )
    low: float | None = Field(description="Paired t interval over seeds; null below two.")
    high: float | None


class LocalOptimality(Schema):
    """Whether no single-axis neighbour of the selected configuration is better."""

    holds: bool = Field(description="Every neighbour was measured, and none is better.")
    certain: bool | None = Field(
        description="The seeds exclude that any neighbour is better, at 95 % together; null without"
        " two seeds of every neighbour. The selected configuration is flattered by its selection."
    )
    level: float = Field(description="Confidence of each interval.")
    neighbours: list[MeasuredNeighbour]
    next_cells: list[dict[str, JsonValue]] = Field(
        description="Configurations to run next, for a certificate; empty if every neighbour was"
        " measured."
    )


class PublishedMeasures(Schema):
    """Published measures of one optimizer in one sweep."""

    loss_sensitivity: LossSensitivityView | None
    probability_of_best: BestAtBudget | None
    tuning_curve: TuningCurve | None
    cost_to_target: CostToTarget
    score_profile: ScoreProfile | None
    local_optimality: LocalOptimality | None
    undefined: dict[str, Reason] = Field(description="Why a measure is null, by its name.")


class GainMatrix(Schema):
    """Gain of each tuned optimizer over each untuned one (Schmidt et al. 2021)."""

    optimizers: list[str] = Field(description="Labels of rows and columns.")
    untuned: list[float | None] = Field(description="Score at the default configuration.")
    tuned: list[float] = Field(description="Score at the selected configuration.")
    gains: list[list[float | None]] = Field(
        description="Row: the untuned optimizer; column: the tuned one; positive: it is better."
    )


class PublishedOfSweep(Schema):
    """Published measures over all optimizers of a sweep."""

    gain_matrix: GainMatrix | None
    undefined: dict[str, Reason] = Field(
        description="Why a measure is null, by its name; of gain_matrix also by"
        " gain_matrix.<optimizer>, for a row.",
    )
    caveats: list[Reason] = Field(description="What to know of the published measures.")


class DimensionView(Schema):
    """Performance, sensitivity and effective dimension of Adkins et al. 2024."""

    performance: float = Field(
        description="Percentile-normalised score tuned on each workload, mean; may exceed 1."
    )
    sensitivity: float = Field(
        description="Phi: what one configuration for all workloads loses of it."
    )
    dimension: int | None = Field(
        description="d: fewest hyperparameters tuned per workload for 95 % of the performance."
    )
    interpolated: float | None = Field(description="d between integers, as the authors draw it.")
    tuned: list[float] = Field(description="Score with 0, 1, ... hyperparameters tuned.")
    subsets: list[list[str]] = Field(description="Which ones.")
    configuration: dict[str, JsonValue] = Field(description="The one for all workloads.")


class OneForAll(Schema):
    """One configuration for all workloads, and leave-one-out (Kasimbeg et al. 2025)."""

    configuration: dict[str, JsonValue]
    scores: dict[str, float] = Field(description="Its normalised score, by workload.")
    left_out_configurations: dict[str, dict[str, JsonValue]] = Field(
        description="The best for all other workloads, by the workload left out."
    )
    left_out_scores: dict[str, float] = Field(
        description="Its normalised score on the workload left out."
    )
    regrets: dict[str, float] = Field(description="What it loses to the best one there.")
    mean_regret: float


class RunAggregates(Schema):
    """Aggregates of rliable over the seeds of the selected configurations, normalised scores.

    Stratified bootstrap intervals, null unless every workload has three seeds.
    """

    n_runs: int
    interquartile_mean: float
    interquartile_mean_low: float | None
    interquartile_mean_high: float | None
    optimality_gap: float
    optimality_gap_low: float | None
    optimality_gap_high: float | None
    probability_of_improvement: dict[str, float] = Field(
        description="Over each other optimizer tried on every workload, by label."
    )


class PublishedAcrossWorkloads(Schema):
    """Published measures of one optimizer over several workloads."""

    plane: DimensionView | None
    one_for_all: OneForAll | None
    runs: RunAggregates | None
    probability_of_best: BestAtBudget | None = Field(description="Mean over workloads.")
    gradient_evaluations_to_target: dict[str, float | None] = Field(
        description="Expected, tuning included, by workload."
    )
    gradient_evaluations_profile: list[float] = Field(
        description="Share of workloads within tau times the fewest, for each of taus."
    )
    gradient_evaluations_score: float = Field(
        description="B of AlgoPerf: area under the profile up to tau 4, over 3."
    )
    fastest_gradient_evaluations: dict[str, float | None] = Field(
        description="Of the cheapest trial that reaches the target, by workload."
    )
    fastest_profile: list[float]
    fastest_score: float
    undefined: dict[str, Reason]
