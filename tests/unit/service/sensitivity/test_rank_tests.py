from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from service.sensitivity import rank_tests


def test_wilcoxon_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["wilcoxon"]
    w_plus, n, p_value = rank_tests.wilcoxon(np.array(tiny["d"]))
    assert (w_plus, n, p_value) == pytest.approx((tiny["w_plus"], tiny["n"], tiny["p"]), abs=1e-9)


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (5, 0.0625), (16, 2.0**-15)])
def test_wilcoxon_one_sided_differences_have_the_smallest_possible_p(
    n: int, smallest: float
) -> None:
    assert rank_tests.wilcoxon(np.arange(1.0, n + 1))[2] == pytest.approx(smallest)


@pytest.mark.parametrize("random_seed", range(6))
def test_wilcoxon_with_ties_matches_scipy_permutations(random_seed: int) -> None:
    rng = np.random.default_rng(random_seed)
    differences = rng.integers(1, 5, 8) * rng.choice([-1.0, 1.0], 8)
    exact = stats.wilcoxon(differences, method=stats.PermutationMethod(n_resamples=2**9))
    assert rank_tests.wilcoxon(differences)[2] == pytest.approx(exact.pvalue, abs=1e-9)


def test_wilcoxon_many_blocks_matches_scipy_normal_approximation() -> None:
    differences = np.random.default_rng(0).standard_normal(80) + 0.1
    expected = stats.wilcoxon(differences, method="asymptotic", correction=False)
    assert rank_tests.wilcoxon(differences)[2] == pytest.approx(expected.pvalue, abs=1e-9)


def test_wilcoxon_without_a_difference_finds_nothing() -> None:
    assert rank_tests.wilcoxon(np.zeros(6)) == (0.0, 0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_holm_matches_statsmodels(size: int) -> None:
    p_values = np.random.default_rng(size).random(size) ** 2
    expected = multipletests(p_values, method="holm")[1]
    assert rank_tests.holm(p_values.tolist()) == pytest.approx(expected.tolist())


def test_holm_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["holm"]
    assert rank_tests.holm(tiny["p"]) == pytest.approx(tiny["adjusted"], abs=1e-9)


def test_friedman_matches_scipy_with_ties() -> None:
    scores = np.random.default_rng(0).integers(0, 4, (12, 4)).astype(float)
    expected = stats.friedmanchisquare(*scores.T)
    assert rank_tests.friedman(scores) == pytest.approx((expected.statistic, expected.pvalue))


def test_friedman_all_tied_is_undefined() -> None:
    assert np.isnan(rank_tests.friedman(np.ones((6, 3)))).all()


@pytest.mark.slow
def test_nemenyi_matches_scikit_posthocs() -> None:
    import scikit_posthocs

    scores = np.random.default_rng(0).random((10, 5))
    expected = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    found = rank_tests.nemenyi(rank_tests.mean_ranks(scores), 10)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("n_optimizers", "q"),
    [*enumerate((1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164), start=2)],
)
def test_critical_difference_matches_the_published_table(n_optimizers: int, q: float) -> None:
    # Demsar 2006, Table 5a: three decimals of q, some of them cut instead of rounded.
    expected = q * np.sqrt(n_optimizers * (n_optimizers + 1) / (6 * 16))
    found = rank_tests.critical_difference(n_optimizers, 16)
    assert found == pytest.approx(expected, rel=5e-4)


def test_probability_of_improvement_is_mann_whitney_by_block() -> None:
    a = np.array([[0.5, 0.7, np.nan], [0.2, 0.2, 0.2]])
    b = np.array([[0.6, 0.5, 0.4], [0.2, np.nan, np.nan]])
    first = stats.mannwhitneyu([0.5, 0.7], [0.6, 0.5, 0.4]).statistic / 6
    found = rank_tests.probability_of_improvement(a, b)
    assert found == pytest.approx((first + 0.5) / 2)
    assert rank_tests.probability_of_improvement(b, a) == pytest.approx(1 - found)
    assert np.isnan(rank_tests.probability_of_improvement(a[:0], b[:0]))
