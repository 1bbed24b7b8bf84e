from math import isnan

import numpy as np
import pytest

from service.sensitivity.measures import (
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
    score_profile,
    stratified_interval,
)

X = np.array(
    [
        *([0.09, 0.24, 0.8], [0.58, 0.09, 0.43], [0.48, 0.16, 0.73]),
        *([0.11, 0.39, 0.52], [0.43, 0.59, 0.74]),
    ]
)
Y = np.array([[0.09, 0.28, 0.65], [0.7, 0.29, 0.52], [0.97, 0.3, 0.31], [0.89, 0.59, 0.47]])


def test_aggregates_equal_rliable() -> None:
    """Recorded from google-research/rliable, metrics.py, of X and Y (runs x tasks)."""
    assert interquartile_mean(X.ravel()) == pytest.approx(0.4244444444444444, abs=1e-9)
    assert optimality_gap(X.ravel(), 0.7) == pytest.approx(0.286, abs=1e-9)
    found = probability_of_improvement(list(X.T), list(Y.T))
    assert found == pytest.approx(0.4416666666666667, abs=1e-9)
    profile = score_profile(X.ravel(), np.array([0, 0.25, 0.5, 0.75, 1]))
    assert profile.tolist() == pytest.approx([1, 2 / 3, 0.4, 1 / 15, 0], abs=1e-9)


def test_score_profile_does_not_count_a_run_at_the_threshold() -> None:
    assert score_profile(np.array([0.2, 0.5]), np.array([0.2, 0.5])).tolist() == [0.5, 0.0]


def test_probability_of_improvement_counts_ties_half_and_takes_unequal_tasks() -> None:
    x, y = [np.array([1.0, 2.0]), np.array([3.0])], [np.array([1.0]), np.array([1.0, 5.0])]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean([1.5 / 2, 1 / 2]))
    assert isnan(probability_of_improvement([], []))


def test_stratified_interval_needs_three_runs_of_every_task() -> None:
    rng = np.random.default_rng(0)
    assert stratified_interval([X[:, 0], X[:2, 1]], interquartile_mean, rng) is None
    assert stratified_interval([], interquartile_mean, rng) is None
    found = stratified_interval(list(X.T), interquartile_mean, rng)
    assert found is not None
    assert found[0] < 0.4244 < found[1]
    same = stratified_interval([np.full(3, 0.5)] * 2, optimality_gap, rng)
    assert same == pytest.approx((0.5, 0.5))
