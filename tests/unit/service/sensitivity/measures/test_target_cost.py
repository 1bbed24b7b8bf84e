from itertools import permutations
from math import inf, isinf, isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sensitivity.measures import fastest_to_target, target_cost


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=5))
def test_target_cost_equals_the_mean_over_all_orders(trials: list[tuple[bool, int]]) -> None:
    hits = np.array([hit for hit, _ in trials])
    costs = np.array([cost for _, cost in trials], dtype=float)
    found = target_cost(hits, costs, replacement=False)
    if not hits.any():
        assert (found.trials, found.gradient_evaluations) == (None, None)
        return
    tried, spent = [], []
    for order in permutations(range(len(trials))):
        first = next(at for at, trial in enumerate(order) if hits[trial])
        tried.append(first + 1)
        spent.append(sum(costs[trial] for trial in order[: first + 1]))
    assert found.trials == pytest.approx(np.mean(tried), abs=1e-12)
    assert found.gradient_evaluations == pytest.approx(np.mean(spent), abs=1e-9)


def test_target_cost_with_replacement_equals_its_series() -> None:
    hits, costs = np.array([True, False, False]), np.array([4.0, 1.0, 3.0])
    found = target_cost(hits, costs, replacement=True)
    series = sum((2 / 3) ** misses / 3 * (misses * 2.0 + 4.0) for misses in range(400))
    assert found.trials == 3
    assert found.gradient_evaluations == pytest.approx(series, abs=1e-9)


def test_target_cost_takes_an_unknown_cost_as_the_mean_of_the_others() -> None:
    found = target_cost(np.array([True, False]), np.array([6.0, nan]), replacement=False)
    assert found.gradient_evaluations == pytest.approx(6 / 2 + 6)
    unknown = target_cost(np.array([True]), np.array([nan]), replacement=False)
    assert (unknown.trials, unknown.gradient_evaluations) == (1, None)


def test_fastest_to_target_is_the_median_over_studies_with_infinity_in_it() -> None:
    reached = np.array([[5.0, 7.0, inf], [9.0, inf, inf], [nan, 6.0, inf]])
    assert fastest_to_target(reached) == 6
    assert isinf(fastest_to_target(reached[:, 1:]))
    assert isinf(fastest_to_target(np.array([[inf, inf]])))
    assert fastest_to_target(np.array([[3.0, nan]])) == 3
    assert isnan(fastest_to_target(np.array([[nan]])))
