from fractions import Fraction
from itertools import product
from math import factorial, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sensitivity.measures import cdf_band, tuning_bands
from service.sensitivity.measures.tuning_bands import stays_within

SCORES = np.array([0.1, 0.8, 0.5, 0.4, 0.6, 0.55, 0.72, 0.33])
BUDGETS = np.array([1, 2, 3, 5, 8, 20])
# opda 0.8.0: EmpiricalDistribution.quantile_tuning_curve and average_tuning_curve of SCORES within
# [0, 1], of the distribution itself and of both ends of the band.
OPDA = {
    True: {
        "median_low": [0.1, 0.33, 0.4, 0.5, 0.55, 0.6],
        "median": [0.5, 0.6, 0.72, 0.72, 0.8, 0.8],
        "median_high": [0.8, 1.0, 1.0, 1.0, 1.0, 1.0],
        "mean_low": [
            *(0.17609675090355292, 0.2890261682683968, 0.3641155126688689),
            *(0.4528978840679767, 0.5175998201109514, 0.5984407517602011),
        ],
        "mean": [
            *(0.5, 0.6171875, 0.6705078125),
            *(0.7233428955078125, 0.759098082780838, 0.794078569976141),
        ],
        "mean_high": [
            *(0.8212855575096225, 0.9287783531650455, 0.9681383549624475),
            *(0.9927379843813678, 0.9991124640510951, 0.9999997553317418),
        ],
    },
    False: {
        "median_low": [0.1, 0.0, 0.0, 0.0, 0.0, 0.0],
        "median": [0.5, 0.4, 0.33, 0.33, 0.1, 0.1],
        "median_high": [0.8, 0.72, 0.6, 0.55, 0.5, 0.4],
        "mean_low": [
            *(0.17609675090355292, 0.0631673335387091, 0.025327260574337367),
            *(0.0048031281153964435, 0.0004978757079807453, 1.225918031064163e-07),
        ],
        "mean": [
            *(0.5, 0.3828125, 0.3189453125),
            *(0.2461700439453125, 0.18858296275138853, 0.11614831899489501),
        ],
        "mean_high": [
            *(0.8212855575096225, 0.7137927618541995, 0.6456599679961786),
            *(0.5677739454433269, 0.5104048613892135, 0.42989322205465685),
        ],
    },
}
# opda's "ld_equal_tailed" for 8 scores, its level simulated with a million draws.
OPDA_LOWER = [
    *(0.0, 0.0005417828048238192, 0.012751462783338035, 0.045090362420414, 0.0959979445506016),
    *(0.1643511353631208, 0.25106684124440304, 0.36040503972263943, 0.5064207285285709),
]


def steck(low: list[Fraction], high: list[Fraction]) -> Fraction:
    """Steck 1971: the probability that uniform order statistics stay within intervals, n! det."""
    n = len(low)
    rows = [
        [
            Fraction(0)
            if j - i + 1 < 0
            else max(Fraction(0), high[i] - low[j]) ** (j - i + 1) / factorial(j - i + 1)
            for j in range(n)
        ]
        for i in range(n)
    ]
    return factorial(n) * determinant(rows)


def determinant(rows: list[list[Fraction]]) -> Fraction:
    if not rows:
        return Fraction(1)
    rest = [row[1:] for row in rows]
    return sum(
        (
            (-1) ** i * row[0] * determinant(rest[:i] + rest[i + 1 :])
            for i, row in enumerate(rows)
            if row[0]
        ),
        Fraction(0),
    )


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("curve", OPDA[True])
def test_tuning_bands_equal_opda(maximize: bool, curve: str) -> None:
    found = tuning_bands(SCORES, BUDGETS, (0.0, 1.0), maximize=maximize)
    assert found.method == "ld_equal_tailed"
    assert getattr(found, curve).tolist() == pytest.approx(OPDA[maximize][curve], abs=1e-9)


def test_cdf_band_is_within_the_simulation_error_of_opda() -> None:
    lower, upper, _ = cdf_band(8, 0.95)
    assert lower == pytest.approx(OPDA_LOWER, abs=3e-4)
    assert upper == pytest.approx(1 - np.array(OPDA_LOWER)[::-1], abs=3e-4)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_cdf_band_holds_with_its_confidence_by_the_determinant_of_steck(size: int) -> None:
    lower, upper, _ = cdf_band(size, 0.95)
    exact = steck([*map(Fraction, lower[1:])], [*map(Fraction, upper[:-1])])
    assert float(exact) == pytest.approx(0.95, abs=1e-10)


@pytest.mark.slow
@given(st.lists(st.tuples(*[st.fractions(0, 1, max_denominator=9)] * 2), min_size=1, max_size=5))
def test_stays_within_equals_the_determinant_of_steck(
    ends: list[tuple[Fraction, Fraction]],
) -> None:
    low = sorted(min(pair) for pair in ends)
    high = sorted(max(pair) for pair in ends)
    found = stays_within(np.array(low, dtype=float), np.array(high, dtype=float))
    assert found == pytest.approx(float(steck(low, high)), abs=1e-12)


def test_cdf_band_of_many_scores_is_that_of_kolmogorov_and_smirnov() -> None:
    lower, upper, method = cdf_band(1200, 0.95)
    assert method == "ks"
    assert upper[0] == pytest.approx(0.03906323883876701, abs=1e-9)  # opda 0.8.0, method "ks"
    assert lower[-1] == pytest.approx(1 - 0.03906323883876701, abs=1e-9)


def test_cdf_band_covers_the_distribution_as_often_as_it_says() -> None:
    size, repeats = 20, 4000
    lower, upper, _ = cdf_band(size, 0.95)
    draws = np.sort(np.random.default_rng(5).random((repeats, size)), axis=1)
    covered = ((draws >= lower[1:]) & (draws <= upper[:-1])).all(axis=1).mean()
    assert abs(covered - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / repeats)


def test_tuning_bands_without_limits_say_nothing_rather_than_nan() -> None:
    found = tuning_bands(SCORES, BUDGETS, (-inf, inf))
    assert found.median_high[-1] == inf
    assert found.mean_high[-1] == inf
    assert not np.isnan(found.mean_low).any()
    assert found.mean.tolist() == pytest.approx(OPDA[True]["mean"], abs=1e-9)


def test_mean_is_the_mean_over_all_draws() -> None:
    scores = np.array([0.3, 0.1, 0.8])
    found = tuning_bands(scores, np.array([1, 2, 3]), (0.0, 1.0))
    naive = [np.mean([max(draw) for draw in product(scores, repeat=n)]) for n in (1, 2, 3)]
    assert found.mean.tolist() == pytest.approx(naive, abs=1e-12)


def test_one_score_has_a_band() -> None:
    found = tuning_bands(np.array([0.7]), np.array([1]), (0.0, 1.0))
    assert (found.median_low[0], found.median[0], found.median_high[0]) == (0.0, 0.7, 1.0)
