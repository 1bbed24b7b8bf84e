"""Differences of two optimizers' dependence on each hyperparameter."""

from collections.abc import Callable
from typing import Any

import pytest

from service.sensitivity import TrialResult, TrialTable, summarize

SEEDS = (0, 1, 2, 3, 4)

MakeTable = Callable[..., TrialTable]


def test_axis_difference_is_that_of_the_summaries(make_table: MakeTable) -> None:
    found = summarize(make_table(optimizers=("SA-SAM", "MSGD"), seeds=SEEDS))
    a, b = found.optimizers
    assert found.comparisons is not None
    (pair,) = found.comparisons.pairs
    differences = pair.axis_differences
    assert a.lr_sensitivity is not None
    assert b.lr_sensitivity is not None
    assert a.lr_tolerance is not None
    assert b.lr_tolerance is not None
    sensitivity = differences["learning_rate.sensitivity"]
    assert sensitivity.value == pytest.approx(a.lr_sensitivity - b.lr_sensitivity)
    width = differences["learning_rate.width"].value
    assert width == pytest.approx(a.lr_tolerance.width - b.lr_tolerance.width)
    off_by_10 = [one.lr_tolerance.off_by[-1].loss for one in (a, b) if one.lr_tolerance]
    assert differences["learning_rate.off_by.10"].value == pytest.approx(
        off_by_10[0] - off_by_10[1]  # type: ignore[operator] - defined: the optimum is interior
    )
    assert "weight_decay.sensitivity" in differences


def test_axis_difference_of_a_flat_and_a_peaked_response_is_certain(make_table: MakeTable) -> None:
    found = summarize(make_table(optimizers=("SA-SAM", "MSGD"), seeds=SEEDS))
    assert found.comparisons is not None
    (pair,) = found.comparisons.pairs
    interval = pair.axis_differences["learning_rate.sensitivity"].interval
    assert interval is not None
    assert interval.high < 0  # SA-SAM depends less: its costs are lower
    wider = pair.axis_differences["learning_rate.width"].interval
    assert wider is not None
    assert wider.high > 0


def test_axis_difference_of_equal_responses_contains_zero(make_table: MakeTable) -> None:
    found = summarize(make_table(optimizers=("SAM", "MSGD"), seeds=SEEDS))
    assert found.comparisons is not None
    interval = found.comparisons.pairs[0].axis_differences["learning_rate.sensitivity"].interval
    assert interval is not None
    assert interval.low < 0 < interval.high


def test_axis_difference_with_one_seed_has_no_interval(make_table: MakeTable) -> None:
    found = summarize(make_table(optimizers=("SA-SAM", "MSGD")))
    assert found.comparisons is not None
    difference = found.comparisons.pairs[0].axis_differences["learning_rate.sensitivity"]
    assert difference.value is not None
    assert difference.interval is None


def test_axis_difference_of_different_spaces_is_absent(
    make_result: Callable[..., TrialResult],
) -> None:
    rates: dict[str, Any] = {"SAM": (1e-3, 1e-2, 1e-1), "MSGD": (1e-2, 1e-1, 1.0)}
    results = [
        make_result(label, learning_rate=rate, seed=seed)
        for label in rates
        for rate in rates[label]
        for seed in (0, 1)
    ]
    found = summarize(TrialTable.from_results(results, chance_accuracy=0.1, workload="tiny"))
    assert found.comparisons is not None
    assert found.comparisons.pairs[0].axis_differences == {}
