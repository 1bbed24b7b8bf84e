"""Published measures of tuning, each as a pure function: arrays in, frozen dataclasses out.

One module per measure; its docstring has the formula, the source, what was read of the source, and
every departure from it. Nothing here knows of trials, sweeps or schemas.
"""

from service.sensitivity.measures.best_at_budget import probability_of_best
from service.sensitivity.measures.gain_matrix import gain_matrix
from service.sensitivity.measures.hyperparameter_dimension import (
    HyperparameterDimension,
    PercentileRange,
    hyperparameter_dimension,
    percentile_range,
)
from service.sensitivity.measures.local_optimality import (
    Certificate,
    Neighbour,
    certify,
    next_value,
)
from service.sensitivity.measures.loss_sensitivity import LossSensitivity, loss_sensitivity
from service.sensitivity.measures.one_configuration import OneConfiguration, one_configuration
from service.sensitivity.measures.performance_profiles import (
    TAU_MAX,
    performance_profile,
    performance_ratios,
    profile_area,
)
from service.sensitivity.measures.random_search import best_of_n_weights, thinned_budgets
from service.sensitivity.measures.run_scores import (
    Statistic,
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
    score_profile,
    stratified_interval,
)
from service.sensitivity.measures.target_cost import TargetCost, fastest_to_target, target_cost
from service.sensitivity.measures.tuning_bands import TuningBands, cdf_band, tuning_bands

__all__ = [
    "TAU_MAX",
    "Certificate",
    "HyperparameterDimension",
    "LossSensitivity",
    "Neighbour",
    "OneConfiguration",
    "PercentileRange",
    "Statistic",
    "TargetCost",
    "TuningBands",
    "best_of_n_weights",
    "cdf_band",
    "certify",
    "fastest_to_target",
    "gain_matrix",
    "hyperparameter_dimension",
    "interquartile_mean",
    "loss_sensitivity",
    "next_value",
    "one_configuration",
    "optimality_gap",
    "percentile_range",
    "performance_profile",
    "performance_ratios",
    "probability_of_best",
    "probability_of_improvement",
    "profile_area",
    "score_profile",
    "stratified_interval",
    "target_cost",
    "thinned_budgets",
    "tuning_bands",
]
