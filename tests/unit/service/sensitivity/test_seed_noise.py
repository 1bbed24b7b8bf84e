import numpy as np
import pytest
from scipy import stats

from service.sensitivity.intervals import interval
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.seed_noise import RepeatedSweeps, repeat_sweeps
from service.sensitivity.statistics import max_minus_mean, selected


def repeat(
    val: Floats, evaluation: Floats | None = None, seed: int = 0
) -> tuple[RepeatedSweeps, ...]:
    silent = np.zeros(len(val), dtype=bool)
    return repeat_sweeps(
        val, evaluation, silent=silent, rng=np.random.default_rng(seed), n_resamples=4000
    )


def test_repeat_sweeps_one_seed_has_no_noise_to_simulate() -> None:
    assert repeat(np.full((6, 1), 0.5)) == ()


def test_repeat_sweeps_half_of_the_configurations_suffice() -> None:
    val = np.random.default_rng(0).normal(0.5, 0.01, (6, 3))
    val[3:, 1:] = np.nan
    assert len(repeat(val)) == 3
    val[2, 1:] = np.nan
    assert repeat(val) == ()


def test_repeat_sweeps_one_configuration_has_the_t_interval() -> None:
    """Of a single configuration the noise is that of its seed mean, with n - 1 degrees."""
    val = np.array([[0.70, 0.72, 0.73, 0.71]])
    errors = [r.errors(lambda by, values: {"": selected(by, values)})[""] for r in repeat(val)]
    found = interval(float(val.mean()), errors, (0.0, 1.0))
    low, high = stats.t.interval(0.95, 3, val.mean(), stats.sem(val[0]))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.002)


def test_repeat_sweeps_noise_of_means_is_the_analysis_of_variance() -> None:
    """Of many configurations and seeds: the standard error of a mean and of a difference."""
    rng = np.random.default_rng(1)
    val = 0.5 + 0.03 * rng.standard_normal(20) + 0.01 * rng.standard_normal((200, 20))
    observed = repeat(val)[1]
    assert observed.val[:, 0].std() == pytest.approx(np.hypot(0.03, 0.01) / 20**0.5, rel=0.35)
    difference = observed.val[:, 0] - observed.val[:, 1]
    assert difference.std() == pytest.approx(0.01 * (2 / 20) ** 0.5, rel=0.05)


def test_repeat_sweeps_draws_the_scores_of_a_trial_together() -> None:
    val = np.random.default_rng(2).normal(0.5, 0.01, (8, 3))
    for repeated in repeat(val, val / 2):
        noise = repeated.val - repeated.true_val
        np.testing.assert_allclose(repeated.evaluation - repeated.true_evaluation, noise / 2)


def test_repeat_sweeps_silent_configurations_have_no_noise() -> None:
    val = np.random.default_rng(3).normal(0.5, 0.01, (6, 3))
    val[5] = 0.1
    silent = np.array([False] * 5 + [True])
    sweeps = repeat_sweeps(val, None, silent=silent, rng=np.random.default_rng(0))
    assert all(np.ptp(repeated.val[:, 5]) == 0 for repeated in sweeps)
    assert all(np.ptp(repeated.val[:, 0]) > 0 for repeated in sweeps)


def test_repeat_sweeps_erratic_configurations_do_not_widen_the_good_ones() -> None:
    """One of three seeds diverged at the worse learning rates: the good half stays precise."""
    val = np.random.default_rng(4).normal(0.9, 0.005, (12, 3))
    val[8:, 0] = 0.1
    observed = repeat(val)[1]
    assert observed.val[:, 0].std() < 0.02
    assert observed.val[:, 11].std() > 0.1
    assert observed.val[:, 8:].max() < 0.95


def test_repeat_sweeps_missing_configurations_stay_missing() -> None:
    val = np.random.default_rng(5).normal(0.5, 0.01, (6, 3))
    val[2] = np.nan
    for repeated in repeat(val):
        assert np.isnan(repeated.val[:, 2]).all()
        assert not np.isnan(np.delete(repeated.val, 2, axis=1)).any()


@pytest.mark.parametrize("n_seeds", [2, 3])
@pytest.mark.parametrize("slope", [0.0, 0.03])
def test_interval_of_max_minus_mean_covers_the_truth(n_seeds: int, slope: float) -> None:
    """Flat, where a percentile bootstrap covers 0 or 1 %, and peaked."""
    rng = np.random.default_rng(6)
    truth = 0.8 - slope * (np.arange(12) - 4) ** 2 / 10
    wanted = float(max_minus_mean(truth))
    hits = 0
    for repetition in range(150):
        val = truth[:, None] + 0.01 * rng.standard_normal((12, n_seeds))
        sweeps = repeat_sweeps(
            val,
            None,
            silent=np.zeros(12, dtype=bool),
            rng=np.random.default_rng(repetition),
            n_resamples=400,
        )
        errors = [r.errors(lambda _, values: {"": max_minus_mean(values)})[""] for r in sweeps]
        found = interval(float(max_minus_mean(val.mean(axis=1))), errors, (0.0, 1.0))
        assert found is not None
        hits += found.low - 1e-12 <= wanted <= found.high
    assert hits / 150 >= 0.90
