import numpy as np
import pytest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from service.sweeps.precision import expected_precision, half_width


@pytest.mark.parametrize("n_seeds", [2, 3, 10])
def test_half_width_of_two_configurations_is_the_two_sample_t_interval(n_seeds: int) -> None:
    sample = np.linspace(-1, 1, n_seeds)
    sample *= 0.01 / sample.std(ddof=1)
    low, high = CompareMeans(DescrStatsW(sample), DescrStatsW(sample)).tconfint_diff()
    assert half_width(2, n_seeds, 0.01) == pytest.approx((high - low) / 2, abs=1e-12)


def test_expected_precision_needs_more_seeds_for_half_a_point() -> None:
    found = expected_precision(15, 3)
    assert found.half_width == pytest.approx(0.0167, abs=1e-4)
    assert found.seeds_for == {"0.005": 31, "0.01": 8}


def test_expected_precision_one_seed_has_no_interval() -> None:
    assert expected_precision(15, 1).half_width is None
