from math import nan, sqrt

import numpy as np
import pytest
from scipy import stats

from service.sensitivity.measures import certify, next_value

GRID = np.array([[0.1, 0.2, 0.1], [0.5, 0.9, 0.6], [0.3, 0.8, 0.2]])


def seeded(grid: np.ndarray, *noise: float) -> np.ndarray:
    return grid.reshape(-1)[:, None] + np.array(noise or (0.0,))


def test_certificate_holds_in_the_middle_of_a_measured_grid() -> None:
    found = certify(seeded(GRID), (1, 1), GRID.shape, ordered=(True, True))
    assert found.holds
    assert found.certain is None
    assert [(n.axis, n.place, n.status) for n in found.neighbours] == [
        *((0, 0, "worse"), (0, 2, "worse"), (1, 0, "worse"), (1, 2, "worse")),
    ]
    assert [n.difference for n in found.neighbours] == pytest.approx([-0.7, -0.1, -0.4, -0.3])


def test_no_certificate_at_an_edge_unless_the_axis_ends_there() -> None:
    grid = GRID[1:]
    found = certify(seeded(grid), (0, 1), grid.shape, ordered=(True, True))
    assert not found.holds
    assert [(n.place, n.status) for n in found.neighbours if n.axis == 0] == [
        *((-1, "off_grid"), (1, "worse")),
    ]
    ends = certify(
        seeded(grid), (0, 1), grid.shape, ordered=(True, True), bounded=lambda axis, at: at < 0
    )
    assert ends.holds
    assert len(ends.neighbours) == 3


def test_no_certificate_beside_a_neighbour_that_did_not_run() -> None:
    scores = seeded(GRID, 0.0, 0.01)
    scores[1] = nan
    found = certify(scores, (1, 1), GRID.shape, ordered=(True, True))
    assert not found.holds
    assert found.certain is None
    assert found.neighbours[0].status == "not_run"
    assert found.neighbours[0].difference is None


def test_no_certificate_where_a_neighbour_is_better_and_equal_ones_are_fine() -> None:
    assert not certify(seeded(GRID), (2, 1), GRID.shape, ordered=(True, True)).holds
    flat = certify(seeded(np.ones((1, 3))), (0, 1), (1, 3), ordered=(True, True))
    assert flat.holds
    assert {n.status for n in flat.neighbours} == {"equal"}


def test_every_other_category_is_a_neighbour_and_a_single_value_has_none() -> None:
    found = certify(
        seeded(np.array([[0.1], [0.9], [0.4], [0.3]])), (1, 0), (4, 1), ordered=(False, True)
    )
    assert [(n.axis, n.place) for n in found.neighbours] == [(0, 0), (0, 2), (0, 3)]
    assert found.holds
    nothing = certify(np.array([[0.5]]), (0,), (1,), ordered=(True,))
    assert not nothing.holds
    assert nothing.neighbours == ()
    assert not certify(np.array([[0.5]]), (), (), ordered=()).holds


def test_interval_is_a_paired_t_interval_at_a_common_level() -> None:
    rng = np.random.default_rng(0)
    scores = seeded(GRID, 0, 0, 0, 0) + 0.05 * rng.standard_normal((9, 4))
    found = certify(scores, (1, 1), GRID.shape, ordered=(True, True))
    assert found.level == pytest.approx(1 - 0.05 / 4)
    pairs = (scores[1] - scores[4], scores[7] - scores[4])
    for neighbour, paired in zip(found.neighbours[:2], pairs, strict=True):
        low, high = stats.t.interval(
            found.level, 3, loc=paired.mean(), scale=paired.std(ddof=1) / sqrt(4)
        )
        assert (neighbour.low, neighbour.high) == pytest.approx((low, high), abs=1e-9)
    assert found.certain == all(n.high <= 0 for n in found.neighbours if n.high is not None)


def test_certain_needs_every_interval_below_zero() -> None:
    clear = certify(seeded(GRID, 0.0, 0.01, 0.02), (1, 1), GRID.shape, ordered=(True, True))
    assert clear.certain
    noisy = seeded(GRID, 0.0, 0.01, 0.02)
    noisy[7] += np.array([-0.3, 0.0, 0.3])
    unclear = certify(noisy, (1, 1), GRID.shape, ordered=(True, True))
    assert unclear.holds
    assert unclear.certain is False


def test_losses_turn_around() -> None:
    found = certify(seeded(-GRID), (1, 1), GRID.shape, ordered=(True, True), maximize=False)
    assert found.holds
    assert found.neighbours[0].difference == pytest.approx(-0.7)


@pytest.mark.parametrize(
    ("values", "upward", "is_log", "is_integer", "expected"),
    [
        ((1e-3, 1e-2, 1e-1), True, True, False, 1.0),
        ((1e-3, 1e-2, 1e-1), False, True, False, 1e-4),
        ((0.1, 0.3, 0.5), True, False, False, 0.7),
        ((0, 1e-4, 1e-3), True, True, False, 1e-2),
        ((0, 1e-4), True, True, False, 2e-4),
        ((32, 64), True, True, True, 128),
        ((1, 2), False, False, True, 0),
        ((3, 4), False, True, True, 2),
    ],
)
def test_next_value_continues_the_spacing(
    values: tuple[float, ...], upward: bool, is_log: bool, is_integer: bool, expected: float
) -> None:
    found = next_value(values, upward=upward, is_log=is_log, is_integer=is_integer)
    assert found == expected
    assert isinstance(found, int) == is_integer
