from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.sensitivity import NotAvailableError, TrialTable, compare_workloads
from service.sensitivity.workloads import (
    hyperparameter_sensitivity,
    performance_profile,
    performance_ratios,
    profile_area,
)

MakeTable = Callable[..., TrialTable]


def test_performance_profile_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["dolan_more"]
    ratios = performance_ratios(np.array(tiny["T"], dtype=float))
    expected = np.array(tiny["ratios"], dtype=float)
    np.testing.assert_allclose(ratios, np.where(np.isnan(expected), np.inf, expected))
    for tau, shares in tiny["rho"].items():
        found = [performance_profile(row, [float(tau)])[0] for row in ratios]
        assert found == pytest.approx(shares, abs=1e-9)
    assert [profile_area(row) for row in ratios] == pytest.approx(tiny["score"], abs=1e-9)


def test_performance_ratios_leave_out_a_workload_that_no_optimizer_solves() -> None:
    ratios = performance_ratios(np.array([[2.0, np.nan], [1.0, np.nan]]))
    np.testing.assert_array_equal(ratios, [[2.0, np.inf], [1.0, np.inf]])


def test_hyperparameter_sensitivity_oracle(oracle: Any) -> None:
    tiny = oracle["tiny"]["hyperparameter_sensitivity_adkins"]
    found = hyperparameter_sensitivity(np.array(tiny["scores"]))
    assert found == pytest.approx(tiny["value"], abs=1e-9)


def test_compare_workloads_normalises_within_each_workload(make_table: MakeTable) -> None:
    tables = {
        "a": make_table(optimizers=["SA-SAM", "Adam"]),
        "b": make_table(optimizers=["SA-SAM", "SAM", "Adam"], random_seed=1),
    }
    found = compare_workloads(tables)
    scores = {entry.optimizer: entry.normalised_scores for entry in found.optimizers}
    assert list(scores) == ["SA-SAM", "Adam", "SAM"]
    assert scores["SAM"]["a"] is None
    for name in tables:
        known = [of[name] for of in scores.values() if of[name] is not None]
        assert 0.9 < max(known) <= 1.0
    assert found.mean_rank is not None
    assert set(found.mean_rank) == {"SA-SAM", "Adam"}
    assert found.friedman_chi2 is None  # two workloads
    assert found.optimizers[0].hyperparameter_sensitivity is not None
    assert found.optimizers[2].hyperparameter_sensitivity is None


def test_compare_workloads_five_of_them_have_a_critical_difference(make_table: MakeTable) -> None:
    tables = {str(seed): make_table(random_seed=seed) for seed in range(5)}
    found = compare_workloads(tables)
    assert found.friedman_chi2 is not None
    assert found.critical_difference is not None


def test_compare_workloads_one_is_not_enough(oracle_table: TrialTable) -> None:
    with pytest.raises(NotAvailableError) as caught:
        compare_workloads({"only": oracle_table})
    assert caught.value.code == "needs_two_workloads"
