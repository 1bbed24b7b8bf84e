from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.sensitivity.measures import probability_of_best

LEVELS = st.lists(st.integers(0, 4), min_size=3, max_size=3)


def naive(
    selection: list[list[int]], evaluation: list[list[int]], n: int, *, replacement: bool
) -> list[float]:
    """Every search of every optimizer, with the selected one of equals at random."""
    draws = [
        list(product(range(len(by)), repeat=n) if replacement else combinations(range(len(by)), n))
        for by in selection
    ]
    outcomes = []
    for by, scores, tried in zip(selection, evaluation, draws, strict=True):
        chances: dict[int, float] = {}
        for draw in tried:
            best = max(by[i] for i in draw)
            winners = [i for i in draw if by[i] == best]
            for i in winners:
                share = 1 / len(winners) / len(tried)
                chances[scores[i]] = chances.get(scores[i], 0.0) + share
        outcomes.append(chances)
    found = [0.0] * len(selection)
    for values in product(*outcomes):
        chance = np.prod([of[v] for of, v in zip(outcomes, values, strict=True)])
        winners = [a for a, value in enumerate(values) if value == max(values)]
        for a in winners:
            found[a] += float(chance) / len(winners)
    return found


@settings(max_examples=60)
@given(
    st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=4), st.integers(1, 3), st.booleans()
)
def test_probability_of_best_equals_enumeration(
    scores: list[tuple[list[int], list[int]]], n: int, replacement: bool
) -> None:
    # Distinct ranks of selection: a tie among draws with replacement is the same for both.
    selection = [by for by, _ in scores]
    evaluation = [values for _, values in scores]
    found = probability_of_best(
        [np.array(by, dtype=float) for by in selection],
        [np.array(values, dtype=float) for values in evaluation],
        np.array([n]),
        replacement=replacement,
    )
    expected = naive(selection, evaluation, n, replacement=replacement)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_probability_of_best_of_losses_turns_around() -> None:
    scores = [np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 9.0])]
    up = probability_of_best(scores, scores, np.array([1, 2]), replacement=False)
    negated = [-values for values in scores]
    down = probability_of_best(
        negated, negated, np.array([1, 2]), replacement=False, maximize=False
    )
    assert down == pytest.approx(up, abs=1e-15)


def test_probability_of_best_with_every_configuration_tried_is_certain() -> None:
    scores = [np.array([0.1, 0.9]), np.array([0.5, 0.8])]
    found = probability_of_best(scores, scores, np.array([1, 2]), replacement=False)
    assert found.tolist() == [[0.5, 0.5], [1.0, 0.0]]
