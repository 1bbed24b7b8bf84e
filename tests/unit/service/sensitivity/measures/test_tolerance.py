import math

import numpy as np
import pytest

from service.sensitivity.measures.tolerance import loss_off_by, width_within

RATES = np.array([1e-4, 5e-4, 1e-2, 1e-1])
CURVE = np.array([0.5, 0.62, 0.7, 0.66])


@pytest.mark.parametrize("factor", [2.0, 4.0, 10.0, 1 / 2, 1 / 4, 1 / 10, 1 / 97])
def test_loss_off_by_agrees_with_interpolation(factor: float) -> None:
    at = np.asarray(2)
    there = np.interp(math.log(RATES[2] * factor), np.log(RATES), CURVE)
    found = float(loss_off_by(CURVE, at, RATES, factor))
    assert found == pytest.approx(CURVE[2] - there, abs=1e-9)


def test_loss_off_by_beyond_the_grid_is_unknown() -> None:
    assert math.isnan(loss_off_by(CURVE, np.asarray(3), RATES, 2.0))
    assert float(loss_off_by(CURVE, np.asarray(2), RATES, 10.0)) == pytest.approx(0.04)


def test_loss_off_by_next_to_a_gap_is_unknown() -> None:
    curve = np.array([0.5, math.nan, 0.7, 0.66])
    assert math.isnan(loss_off_by(curve, np.asarray(2), RATES, 0.5))
    assert float(loss_off_by(curve, np.asarray(2), RATES, 1e-2)) == pytest.approx(0.2)


@pytest.mark.parametrize("epsilon", [0.01, 0.05, 0.1, 0.3])
def test_width_within_agrees_with_a_fine_grid(epsilon: float) -> None:
    log = np.log10(RATES)
    fine = np.linspace(log[0], log[-1], 300_001)
    inside = np.interp(fine, log, CURVE) >= 0.7 - epsilon
    width, bound = width_within(CURVE, np.asarray(2), RATES, epsilon)
    assert float(width) == pytest.approx(inside.mean() * (log[-1] - log[0]), abs=1e-4)
    assert bool(bound) == bool(inside[0] or inside[-1])


def test_width_within_is_a_lower_bound_with_a_gap() -> None:
    curve = np.array([0.5, 0.62, 0.7, math.nan, 0.4])
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    width, bound = width_within(curve, np.asarray(2), rates, 0.04)
    assert float(width) == pytest.approx(0.5)
    assert bool(bound)


def test_tolerance_broadcasts_over_simulated_sweeps() -> None:
    curves = np.stack([CURVE, CURVE[::-1]])
    at = np.array([2, 1])
    found = loss_off_by(curves, at, RATES, 4.0)
    single = [
        float(loss_off_by(c, np.asarray(i), RATES, 4.0)) for c, i in zip(curves, at, strict=True)
    ]
    np.testing.assert_allclose(found, single, atol=1e-12)
