from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from service.sensitivity import selection_curves, statistics

GRIDS = hnp.arrays(np.float64, (3, 4), elements=st.integers(100, 1000).map(lambda n: n / 1000))


def anova(grid: np.ndarray) -> dict[str, float]:
    """Shares of a grid of learning rates and weight decays."""
    found = statistics.functional_anova(grid.ravel(), grid.shape, with_pairs=True)
    shares = dict(zip(("learning_rate", "weight_decay"), found.alone, strict=True))
    assert np.isclose(found.pairs[0, 1], found.interaction, equal_nan=True)
    return {"total_variance": found.total, **shares, "interaction": found.interaction}  # type: ignore[dict-item]


def curve(val: np.ndarray, scores: np.ndarray, axis: int) -> np.ndarray:
    """The curve of a grid [..., lr, wd] along one hyperparameter."""
    shape = val.shape[-2:]
    flat = (array.reshape(*array.shape[:-2], -1) for array in (val, scores))
    return statistics.selected(*(statistics.along(array, shape, axis) for array in flat))


def test_functional_anova_oracle_grids(oracle: Any) -> None:
    for name in ("fanova_additive", "fanova_pure_interaction"):
        tiny = oracle["tiny"][name]
        found = anova(np.array(tiny["grid"], dtype=float))
        assert found == pytest.approx({key: tiny[key] for key in found}, abs=1e-12)


def test_functional_anova_matches_statsmodels_sums_of_squares() -> None:
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    grid = np.random.default_rng(0).random((4, 3))
    frame = pd.DataFrame(
        [(str(i), str(j), grid[i, j]) for i in range(4) for j in range(3)],
        columns=["rate", "decay", "score"],
    )
    squares = anova_lm(ols("score ~ C(rate) + C(decay)", frame).fit(), typ=2)["sum_sq"]
    found = anova(grid)
    assert found["learning_rate"] == pytest.approx(squares["C(rate)"] / squares.sum())
    assert found["weight_decay"] == pytest.approx(squares["C(decay)"] / squares.sum())
    assert found["interaction"] == pytest.approx(squares["Residual"] / squares.sum())


def test_functional_anova_flat_grid_has_nothing_to_explain() -> None:
    found = anova(np.full((4, 4), 0.1))
    assert found["total_variance"] == 0.0
    assert np.isnan(found["learning_rate"])


@settings(deadline=None, max_examples=50)
@given(GRIDS)
def test_functional_anova_shares_sum_to_one(grid: np.ndarray) -> None:
    found = anova(grid)
    shares = [found[name] for name in ("learning_rate", "weight_decay", "interaction")]
    assert np.isnan(shares).all() or sum(shares) == pytest.approx(1.0)


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1)))
def test_interquartile_mean_matches_scipy(values: np.ndarray) -> None:
    expected = stats.trim_mean(values, 0.25)
    assert statistics.interquartile_mean(values) == pytest.approx(expected)


def test_interquartile_mean_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["iqm"]
    assert statistics.interquartile_mean(np.array(tiny["x"])) == pytest.approx(tiny["value"])


def test_select_ties_go_to_the_first_and_holes_never_win() -> None:
    assert statistics.select(np.array([np.nan, 0.9, 0.9, 0.1])) == 1


def test_seed_means_round_so_that_equal_means_tie() -> None:
    accuracies = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [np.nan, 0.2, 0.2]])
    assert accuracies[0].sum() != accuracies[1].sum()  # in floating point
    np.testing.assert_array_equal(statistics.seed_means(accuracies), [0.2, 0.2, 0.2])


def test_lr_sensitivity_random_everywhere_is_zero(oracle: Any) -> None:
    tiny = oracle["tiny"]["lr_sensitivity_all_random"]
    assert statistics.max_minus_mean(np.array(tiny["accuracy"])) == pytest.approx(tiny["value"])


def test_lr_sensitivity_of_losses_is_wortsmans(oracle: Any) -> None:
    tiny = oracle["tiny"]["lr_sensitivity_loss"]
    initial = tiny["loss_at_init"]
    losses = [initial if loss is None else min(loss, initial) for loss in tiny["loss"]]
    assert statistics.max_minus_mean(-np.array(losses)) == pytest.approx(tiny["value"])


def test_curve_reads_the_evaluation_score_where_validation_is_best() -> None:
    val = np.array([[0.5, 0.6], [0.9, 0.9], [np.nan, 0.2], [np.nan, np.nan]])
    ood = np.array([[0.4, 0.3], [0.7, 0.8], [np.nan, 0.15], [np.nan, np.nan]])
    np.testing.assert_array_equal(curve(val, ood, 0), [0.3, 0.7, 0.15, np.nan])
    np.testing.assert_array_equal(curve(val, ood, 1), [0.7, 0.8])


def test_along_keeps_the_order_of_the_others() -> None:
    grid = np.arange(24.0).reshape(2, 3, 4)
    for axis in range(3):
        lines = statistics.along(grid.ravel(), grid.shape, axis)
        expected = np.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1)
        np.testing.assert_array_equal(lines, expected)


def test_statistics_broadcast_over_resamples() -> None:
    rng = np.random.default_rng(0)
    shape = (4, 3, 2)
    val, ood = rng.random((2, 5, 24))
    for axis in range(3):
        lines = statistics.along(ood, shape, axis)
        alone = [statistics.along(one, shape, axis) for one in ood]
        np.testing.assert_array_equal(lines, alone)
        np.testing.assert_array_equal(
            statistics.axis_regret(lines), [statistics.axis_regret(one) for one in alone]
        )
    overall, gains = statistics.tunability(val, ood, shape, 11)
    shares = statistics.functional_anova(ood, shape, with_pairs=True)
    for at in range(5):
        alone_overall, alone_gains = statistics.tunability(val[at], ood[at], shape, 11)
        assert overall[at] == alone_overall
        assert [gain[at] for gain in gains] == alone_gains
        alone_shares = statistics.functional_anova(ood[at], shape, with_pairs=True)
        assert [share[at] for share in shares.alone] == pytest.approx(list(alone_shares.alone))
        for pair, share in shares.pairs.items():
            assert share[at] == pytest.approx(alone_shares.pairs[pair])


def test_tunability_reads_the_lines_through_the_default() -> None:
    grid = np.random.default_rng(1).random((4, 3, 2))
    default = (2, 1, 1)
    index = int(np.ravel_multi_index(default, grid.shape))
    overall, gains = statistics.tunability(grid.ravel(), grid.ravel(), grid.shape, index)
    assert overall == grid.max() - grid[default]
    assert gains == [
        grid[:, 1, 1].max() - grid[default],
        grid[2, :, 1].max() - grid[default],
        grid[2, 1, :].max() - grid[default],
    ]


@settings(deadline=None, max_examples=50)
@given(GRIDS, GRIDS)
def test_regrets_are_never_negative(val: np.ndarray, ood: np.ndarray) -> None:
    assert statistics.selection_regret(val.ravel(), ood.ravel()) >= 0
    assert statistics.max_minus_mean(ood.ravel()) >= -1e-12


def test_near_optimal_fraction_counts_the_boundary() -> None:
    scores = np.array([0.742, 0.732, 0.7319, np.nan])
    assert statistics.near_optimal_fraction(scores, 0.742, 0.01) == pytest.approx(2 / 3)


@pytest.mark.parametrize("replacement", [True, False])
def test_expected_best_large_search_stays_finite_and_monotone(replacement: bool) -> None:
    scores = np.random.default_rng(0).random(1500)
    (curve,) = selection_curves.expected_best(scores, replacement=replacement)
    assert np.isfinite(curve).all()
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[0] == pytest.approx(scores.mean())
    if not replacement:
        assert curve[-1] == pytest.approx(scores.max())


def test_expected_best_ties_share_what_they_select() -> None:
    val, ood = np.array([0.9, 0.9, 0.1]), np.array([0.8, 0.4, 0.2])
    _, selected = selection_curves.expected_best(val, ood, replacement=False)
    assert selected[-1] == pytest.approx(0.6)


def test_trials_to_target_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["trials_to_target"]
    size, hits = tiny["N"], tiny["k"]
    found = selection_curves.trials_to_target(size, hits)
    assert found == pytest.approx(tiny["without_replacement"])
    found = selection_curves.trials_to_target(size, hits, replacement=True)
    assert found == pytest.approx(tiny["with_replacement"])
    assert selection_curves.trials_to_target(size, 0) is None
