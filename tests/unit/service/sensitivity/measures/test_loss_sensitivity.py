from math import inf, log, nan

import numpy as np
import pytest

from service.sensitivity.measures import loss_sensitivity

RATES = np.array([3e-3, 1e-2, 3e-2])


@pytest.mark.parametrize(
    ("losses", "expected"),
    [((6.40, 6.44, 6.56), (6.40 + 6.44 + 6.56) / 3 - 6.40), ((6.31, 6.56, inf), 0.98358)],
)
def test_loss_sensitivity_equals_examples_by_hand(
    losses: tuple[float, ...], expected: float
) -> None:
    found = loss_sensitivity(RATES, np.array(losses)[:, None], log(8192))
    assert found is not None
    assert found.value == pytest.approx(expected, abs=2e-3 if inf in losses else 1e-12)
    naive = [min(loss, log(8192)) for loss in losses]
    assert found.value == pytest.approx(sum(x - min(naive) for x in naive) / 3, abs=1e-12)
    assert (found.low, found.high, found.n_rates) == (3e-3, 3e-2, 3)


def test_loss_sensitivity_clips_each_run_before_the_mean_over_seeds() -> None:
    found = loss_sensitivity(RATES[:2], np.array([[1.0, 1.0], [1.0, inf]]), 2.0)
    assert found is not None
    assert found.value == pytest.approx(0.25, abs=1e-12)
    assert found.best_loss == 1.0


def test_loss_sensitivity_leaves_out_learning_rates_without_a_run() -> None:
    losses = np.array([[1.0, nan], [nan, nan], [2.0, 4.0]])
    found = loss_sensitivity(RATES, losses, 10.0)
    assert found is not None
    assert found.n_rates == 2
    assert found.value == pytest.approx(1.0, abs=1e-12)
    assert loss_sensitivity(RATES, np.array([[1.0], [nan], [nan]]), 10.0) is None


def test_loss_sensitivity_says_whether_learning_rates_are_evenly_spaced() -> None:
    even = loss_sensitivity(np.array([1e-3, 1e-2, 1e-1]), np.array([[1.0], [0.0], [3.0]]), 9.0)
    uneven = loss_sensitivity(np.array([1e-3, 1e-2, 1.0]), np.array([[1.0], [0.0], [3.0]]), 9.0)
    assert even is not None
    assert uneven is not None
    assert (even.evenly_spaced, uneven.evenly_spaced) == (True, False)
    assert even.value == uneven.value == pytest.approx(4 / 3, abs=1e-12)
    assert even.log_uniform == pytest.approx((0.5 + 1.5) / 2, abs=1e-12)
    assert uneven.log_uniform == pytest.approx((0.5 * 1 + 1.5 * 2) / 3, abs=1e-12)
