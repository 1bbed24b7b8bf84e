from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sensitivity.measures import one_configuration


@given(
    st.integers(1, 5).flatmap(
        lambda h: st.lists(
            st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=h, max_size=h
        )
    )
)
def test_one_configuration_equals_a_direct_search(rows: list[list[int]]) -> None:
    scores = np.array(rows, dtype=float)
    found = one_configuration(scores, scores)
    assert found is not None
    assert found.chosen == max(range(len(rows)), key=lambda h: (sum(rows[h]), -h))
    for left in range(3):
        others = [sum(row[w] for w in range(3) if w != left) for row in rows]
        chosen = others.index(max(others))
        assert found.left_out[left] == chosen
        best = max(row[left] for row in rows)
        assert found.regrets[left] == pytest.approx(best - rows[chosen][left], abs=1e-12)


def test_one_configuration_selects_by_validation_and_reports_evaluation() -> None:
    selection = np.array([[0.9, 0.9], [0.1, 0.1]])
    evaluation = np.array([[0.4, 0.5], [0.6, 0.6]])
    found = one_configuration(selection, evaluation)
    assert found is not None
    assert found.chosen == 0
    assert found.chosen_scores.tolist() == [0.4, 0.5]
    assert found.regrets.tolist() == pytest.approx([0.2, 0.1])


def test_one_configuration_chooses_among_those_tried_everywhere() -> None:
    scores = np.array([[0.9, nan, 0.9], [0.5, 0.5, 0.5]])
    found = one_configuration(scores, scores)
    assert found is not None
    assert found.chosen == 1
    assert found.regrets.tolist() == pytest.approx([0.4, 0.0, 0.4])
    assert one_configuration(scores[:1], scores[:1]) is None
    assert one_configuration(scores[1:, :1], scores[1:, :1]) is None


def test_one_configuration_of_losses() -> None:
    losses = np.array([[1.0, 2.0], [3.0, 1.0]])
    found = one_configuration(losses, losses, maximize=False)
    assert found is not None
    assert found.chosen == 0
    assert found.regrets.tolist() == [2.0, 1.0]
