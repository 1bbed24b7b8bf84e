from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.proportion import proportion_confint

from service.sensitivity.intervals import interval, quantiles, wilson

UNIT = (0.0, 1.0)


@pytest.mark.parametrize(("successes", "total"), [(0, 48), (10, 48), (5, 5), (1, 1), (3, 1000)])
def test_wilson_matches_statsmodels(successes: int, total: int) -> None:
    found = wilson(successes, total)
    expected = proportion_confint(successes, total, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_wilson_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["wilson"]
    found = wilson(tiny["k2"], tiny["n2"])
    assert [found.low, found.high] == pytest.approx(tiny["ci2"], abs=1e-9)


def test_interval_without_simulated_sweeps_is_none() -> None:
    assert interval(0.5, [], UNIT) is None


def test_interval_is_the_widest_over_the_surfaces_and_respects_limits() -> None:
    rising, level = np.linspace(0.0, 0.4, 401), np.linspace(-0.2, 0.2, 401)
    found = interval(0.3, [rising, level, level], UNIT)
    assert found is not None
    assert found.low == 0.0  # 0.3 - 0.39
    assert found.high == pytest.approx(0.3 + 0.19)
    assert found.estimate == pytest.approx(0.3 - (0.2 + 0.0) / 2)


def test_interval_of_a_statistic_undefined_without_noise_is_none() -> None:
    """Shares of variance, where no difference between configurations exceeds noise."""
    assert interval(0.5, [np.full(100, np.nan), np.zeros(100), np.zeros(100)], UNIT) is None


@settings(deadline=None, max_examples=100)
@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1)),
    st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_quantiles_are_numpys(values: np.ndarray, shares: list[float]) -> None:
    assert quantiles(values, shares) == pytest.approx(np.quantile(values, shares), abs=1e-15)
