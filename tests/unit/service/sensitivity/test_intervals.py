import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.proportion import proportion_confint

from service.sensitivity.intervals import (
    percentile_interval,
    quantiles,
    resampled_means,
    wilson,
)


@pytest.mark.parametrize(("successes", "total"), [(0, 48), (10, 48), (5, 5), (1, 1), (3, 1000)])
def test_wilson_matches_statsmodels(successes: int, total: int) -> None:
    found = wilson(successes, total)
    expected = proportion_confint(successes, total, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_wilson_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["wilson"]
    found = wilson(tiny["k2"], tiny["n2"])
    assert [found.low, found.high] == pytest.approx(tiny["ci2"], abs=1e-9)


def test_resampled_means_have_the_distribution_of_all_resamples(oracle: Any) -> None:
    tiny = oracle["tiny"]["bootstrap_exact"]
    sample = np.array(tiny["sample"])
    exact = np.array([np.mean(drawn) for drawn in itertools.product(sample, repeat=4)])
    (means,) = resampled_means(sample[None], rng=np.random.default_rng(0), n_resamples=50_000)
    assert means.std() == pytest.approx(exact.std(), rel=0.02)
    assert exact.std() == pytest.approx(tiny["se_bootstrap"])
    found = percentile_interval(0.745, means[:, 0], n_seeds=4)
    assert found is not None
    correction = (4 / 3) ** 0.5
    low, high = tiny["percentile95_linear"]
    assert found.low == pytest.approx(0.745 - correction * (0.745 - low), abs=0.006)
    assert found.high == pytest.approx(0.745 + correction * (high - 0.745), abs=0.006)


def test_resampled_means_draw_the_scores_of_a_trial_together() -> None:
    val = np.array([[0.1, 0.5, 0.9, np.nan], [0.2, np.nan, np.nan, np.nan]])
    first, second = resampled_means(val, val / 2, rng=np.random.default_rng(0), n_resamples=200)
    np.testing.assert_allclose(second, first / 2)
    assert (first[:, 1] == 0.2).all()
    assert set(np.round(3 * first[:, 0], 9)) <= {0.3, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7}


def test_percentile_interval_one_seed_says_nothing() -> None:
    assert percentile_interval(0.5, np.full(10, 0.5), n_seeds=1) is None


def test_percentile_interval_contains_the_estimate_and_respects_limits() -> None:
    found = percentile_interval(0.0, np.linspace(0.1, 0.99, 100), n_seeds=2)
    assert found is not None
    assert found.low == 0.0
    assert found.high == 1.0


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_percentile_interval_covers_what_it_claims(n_seeds: int, oracle: Any) -> None:
    """The mean over 16 configurations, as a sweep has it; without the correction it covers less."""
    rng = np.random.default_rng(0)
    hits = plain_hits = 0
    for _ in range(300):
        accuracy = 0.5 + 0.05 * rng.standard_normal((16, n_seeds))
        (means,) = resampled_means(accuracy, rng=rng, n_resamples=400)
        statistic = means.mean(axis=1)
        found = percentile_interval(float(accuracy.mean()), statistic, n_seeds)
        assert found is not None
        hits += found.low <= 0.5 <= found.high
        low, high = np.quantile(statistic, (0.025, 0.975))
        plain_hits += low <= 0.5 <= high
    expected = oracle["bootstrap_coverage_95"][str(n_seeds)]
    assert hits / 300 == pytest.approx(expected["inflated_sqrt(n/(n-1))"], abs=0.05)
    assert plain_hits / 300 == pytest.approx(expected["percentile"], abs=0.06)


@settings(deadline=None, max_examples=100)
@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1)),
    st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_quantiles_are_numpys(values: np.ndarray, shares: list[float]) -> None:
    assert quantiles(values, shares) == pytest.approx(np.quantile(values, shares), abs=1e-15)
