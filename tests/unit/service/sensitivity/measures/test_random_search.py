from math import comb

import numpy as np
import pytest

from service.sensitivity.measures import best_of_n_weights, thinned_budgets


@pytest.mark.parametrize("size", [1, 2, 7, 60])
def test_weights_without_replacement_equal_exact_binomials(size: int) -> None:
    budgets = np.arange(1, size + 1)
    naive = [[comb(i - 1, n - 1) / comb(size, n) for i in budgets] for n in budgets]
    found = best_of_n_weights(size, budgets, replacement=False)
    assert found == pytest.approx(np.array(naive), abs=1e-12)


def test_weights_with_replacement_equal_their_formula() -> None:
    naive = [[(i / 5) ** n - ((i - 1) / 5) ** n for i in range(1, 6)] for n in (1, 3, 40)]
    found = best_of_n_weights(5, np.array([1, 3, 40]), replacement=True)
    assert found == pytest.approx(np.array(naive), abs=1e-15)


def test_weights_of_many_configurations_stay_accurate() -> None:
    size = 3000
    found = best_of_n_weights(size, np.array([2, 1500, size]), replacement=False)
    assert found.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-12)
    assert found[0, -1] == pytest.approx(2 / size, rel=1e-9)
    assert found[2, -1] == 1


def test_budgets_are_thinned_evenly_and_keep_both_ends() -> None:
    assert thinned_budgets(4, 10).tolist() == [1, 2, 3, 4]
    found = thinned_budgets(10_000, 12)
    assert (found[0], found[-1]) == (1, 10_000)
    assert found.size <= 12
