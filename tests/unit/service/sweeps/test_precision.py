import numpy as np
import pytest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from service.sweeps.precision import expected_precision, half_width
from workers.scores import SCORES

ACCURACY, LOSS = SCORES["accuracy"], SCORES["loss"]


@pytest.mark.parametrize("n_seeds", [2, 3, 10])
def test_half_width_of_two_configurations_is_the_two_sample_t_interval(n_seeds: int) -> None:
    sample = np.linspace(-1, 1, n_seeds)
    sample *= 0.01 / sample.std(ddof=1)
    low, high = CompareMeans(DescrStatsW(sample), DescrStatsW(sample)).tconfint_diff()
    assert half_width(2, n_seeds, 0.01) == pytest.approx((high - low) / 2, abs=1e-12)


def test_expected_precision_needs_more_seeds_for_half_a_point() -> None:
    found = expected_precision(15, 3, ACCURACY)
    assert found.half_width == pytest.approx(0.0167, abs=1e-4)
    assert found.seeds_for == {"0.005": 31, "0.01": 8}


def test_expected_precision_one_seed_has_no_interval() -> None:
    found = expected_precision(15, 1, ACCURACY)
    assert found.half_width is None
    assert "no interval with one seed; ± 0.5 points needs 31 seeds" in found.sentence


def test_expected_precision_of_a_loss_is_in_nats() -> None:
    found = expected_precision(15, 3, LOSS)
    assert found.half_width == pytest.approx(5 * 0.016675, abs=1e-4)
    assert found.seeds_for == {"0.025": 31, "0.05": 8}
    assert found.sentence == (
        "of the difference of two configurations: ± 0.083 nats; ± 0.025 nats needs 31 seeds, ± 0.05"
        " nats needs 8 seeds (assumed deviation of seeds: 0.05 nats)"
    )


def test_expected_precision_of_accuracy_is_in_points() -> None:
    assert expected_precision(15, 3, ACCURACY).sentence == (
        "of the difference of two configurations: ± 1.7 points; ± 0.5 points needs 31 seeds, ± 1"
        " point needs 8 seeds (assumed deviation of seeds: 1 point)"
    )
