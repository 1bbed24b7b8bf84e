from math import nan

import numpy as np
import pytest

from service.sensitivity.measures import gain_matrix


def test_gain_matrix_is_tuned_less_untuned() -> None:
    untuned, tuned = np.array([0.5, nan, 0.8]), np.array([0.7, 0.9, 0.8])
    found = gain_matrix(untuned, tuned)
    for a in range(3):
        for b in range(3):
            expected = tuned[b] - untuned[a]
            assert found[a, b] == pytest.approx(expected, abs=1e-15, nan_ok=True)
    assert np.isnan(found[1]).all()


def test_gain_matrix_of_losses_is_positive_where_the_loss_falls() -> None:
    assert gain_matrix(np.array([2.0]), np.array([1.5]), maximize=False).tolist() == [[0.5]]
