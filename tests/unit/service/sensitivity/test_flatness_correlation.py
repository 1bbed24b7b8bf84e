from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from service.sensitivity import flatness_correlation

TIED = hnp.arrays(np.float64, 12, elements=st.integers(0, 4).map(float))


@settings(deadline=None, max_examples=50)
@given(TIED, TIED)
def test_kendall_tau_matches_scipy_with_ties(x: np.ndarray, y: np.ndarray) -> None:
    expected = stats.kendalltau(x, y).statistic
    assert flatness_correlation.kendall_tau(x, y) == pytest.approx(expected, nan_ok=True)


def test_kendall_tau_many_points_matches_few_points_code() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 40, (2, 400)).astype(float)
    order_x, order_y = (np.sign(v[:, None] - v) for v in (x, y))
    expected = (order_x * order_y).sum() / np.sqrt((order_x**2).sum() * (order_y**2).sum())
    assert flatness_correlation.kendall_tau(x, y) == pytest.approx(expected)


def test_kendall_tau_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["kendall_tau_b_ties"]
    x, y = (np.array(tiny[name], dtype=float) for name in ("x", "y"))
    assert flatness_correlation.kendall_tau(x, y) == pytest.approx(tiny["value"], abs=1e-9)


def test_associate_granulated_coefficient_sees_through_simpsons_paradox(oracle: Any) -> None:
    tiny = oracle["tiny"]["granulated_vs_overall"]
    trace, ood = (np.array(tiny[name], dtype=float).ravel() for name in ("trace", "ood"))
    found = flatness_correlation.associate(
        trace,
        ood,
        diverged=np.zeros(4, bool),
        learned=np.ones(4, bool),
        grid={"learning_rate": 2, "weight_decay": 2},
    )
    assert found.kendall_tau == pytest.approx(tiny["overall"])
    assert found.lines == tiny["granulated"].pop("lines_used")
    assert found.granulated | {"psi": found.psi} == pytest.approx(tiny["granulated"])


def test_associate_diverged_configurations_are_the_sharpest() -> None:
    trace = np.array([1.0, 2.0, np.nan, np.nan])
    ood = np.array([0.5, 0.7, 0.1, 0.1])
    found = flatness_correlation.associate(
        trace,
        ood,
        diverged=np.array([False, False, True, True]),
        learned=np.array([True, True, False, False]),
        grid=None,
    )
    assert found.n == 2
    assert found.kendall_tau == 1.0
    expected = stats.kendalltau([1, 2, 9, 9], ood).statistic
    assert found.kendall_tau_diverged_as_sharpest == pytest.approx(expected)


def test_associate_unlearned_configurations_are_counted_apart() -> None:
    trace = np.array([0.1, 5.0, 4.0, 3.0])
    ood = np.array([0.12, 0.7, 0.75, 0.8])
    found = flatness_correlation.associate(
        trace,
        ood,
        diverged=np.zeros(4, bool),
        learned=ood > 0.5,
        grid={"learning_rate": 2, "weight_decay": 2},
    )
    assert found.kendall_tau == 0.0
    assert found.n_learned == 3
    assert found.kendall_tau_learned == -1.0


def test_learned_needs_half_of_the_best_progress_over_chance() -> None:
    scores = np.array([0.1, 0.29, 0.31, 0.5, np.nan])
    found = flatness_correlation.learned(scores, best=0.5, chance=0.1)
    np.testing.assert_array_equal(found, [False, False, True, True, False])


def test_learned_is_false_where_all_are_at_chance() -> None:
    assert not flatness_correlation.learned(np.full(3, 0.1), best=0.1, chance=0.1).any()


def test_seed_median_ignores_what_was_not_measured() -> None:
    nan = np.nan
    values = np.array([[3.0, nan, 1.0], [nan, nan, nan], [5.0, 1.0, 2.0], [nan, 4.0, nan]])
    np.testing.assert_array_equal(flatness_correlation.seed_median(values), [2.0, nan, 2.0, 4.0])
