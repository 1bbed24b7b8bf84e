from itertools import combinations, product
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.sensitivity.measures import hyperparameter_dimension, percentile_range

SHAPE = (2, 3, 2)
PLACES = np.array(list(product(*map(range, SHAPE))))


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.floats(-1, 2), min_size=3, max_size=3),
        min_size=len(PLACES),
        max_size=len(PLACES),
    )
)
def test_dimension_equals_the_loops_of_the_authors_code(rows: list[list[float]]) -> None:
    scores = np.array(rows)
    found = hyperparameter_dimension(scores, PLACES)
    assert found is not None
    performance = np.mean([max(row[w] for row in rows) for w in range(3)])
    means = np.round([np.mean(row) for row in rows], 12).tolist()
    star = PLACES[means.index(max(means))]
    assert found.performance == pytest.approx(performance, abs=1e-9)
    assert found.sensitivity == pytest.approx(performance - max(means), abs=1e-9)
    tuned = []
    for fixed in range(3, -1, -1):
        of_subsets = []
        for axes in combinations(range(3), fixed):
            kept = [
                r for r, p in zip(rows, PLACES, strict=True) if all(p[a] == star[a] for a in axes)
            ]
            of_subsets.append(np.mean([max(row[w] for row in kept) for w in range(3)]))
        tuned.append(max(of_subsets))
    assert found.tuned == pytest.approx(tuned, abs=1e-9)
    if performance > 0:
        enough = [m for m, value in enumerate(found.tuned) if value >= 0.95 * found.performance]
        assert found.dimension == enough[0]
    else:
        assert found.dimension is None


def test_dimension_is_the_number_that_differs_between_workloads() -> None:
    """One hyperparameter must follow the workload, the other need not."""
    scores = np.array([[1.0, 0.0], [0.2, 0.1], [0.0, 1.0], [0.1, 0.2]])
    found = hyperparameter_dimension(scores, np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
    assert found is not None
    assert found.tuned == (0.5, 1.0, 1.0)
    assert (found.dimension, found.subsets[1]) == (1, (0,))
    assert found.interpolated == pytest.approx(0.9)
    assert found.sensitivity == 0.5


def test_a_configuration_not_tried_everywhere_counts_where_it_was() -> None:
    scores = np.array([[0.5, 0.5], [1.0, nan]])
    found = hyperparameter_dimension(scores, np.array([[0], [1]]))
    assert found is not None
    assert found.chosen == 0
    assert (found.performance, found.sensitivity) == (0.75, 0.25)
    assert hyperparameter_dimension(scores[1:], np.array([[1]])) is None
    assert hyperparameter_dimension(scores[:, :1], np.array([[0], [1]])) is None


def test_percentiles_normalise_and_may_exceed_one() -> None:
    scores = np.arange(101.0)
    found = percentile_range(np.append(scores, nan))
    assert (found.low, found.high) == (5, 95)
    assert found.normalise(np.array([5.0, 50.0, 95.0, 100.0])).tolist() == pytest.approx(
        [0, 0.5, 1, 95 / 90]
    )
    assert found.normalise(np.array([5.0, 95.0]), maximize=False).tolist() == [1, 0]
    flat = percentile_range(np.full(4, 0.3)).normalise(np.array([0.3, nan]))
    assert flat[0] == 0
    assert np.isnan(flat[1])
