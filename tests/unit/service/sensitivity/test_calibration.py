"""Calibration in summaries and their table."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.sensitivity import TrialResult, TrialTable, calibration_table, html_report, summarize
from workers.metrics import Outcome


def trial(seed: int, optimizer: str = "MSGD", **fields: Any) -> TrialResult:
    made = TrialResult(
        key=f"{optimizer} {seed}",
        optimizer=optimizer,
        optimizer_name="msgd",
        hyperparameters={"learning_rate": 0.1},
        seed=seed,
        outcome=Outcome.COMPLETED,
        val_accuracy=0.8,
    )
    return replace(made, **fields)


MEASURED = [
    {"val_loss": 0.5, "brier": {"validation": 0.3, "ood": None}, "ece": {"validation": 0.05}},
    {"val_loss": 0.7, "brier": {"validation": 0.5, "ood": None}, "ece": {"validation": 0.15}},
]


def test_summary_has_the_seed_means_of_the_selected_configuration() -> None:
    results = [trial(seed, **fields) for seed, fields in enumerate(MEASURED)]
    # A diverged trial counts as chance for accuracy, but it has no calibration.
    results.append(trial(2, outcome=Outcome.DIVERGED, val_accuracy=None))
    summary = summarize(TrialTable.from_results(results, chance_accuracy=0.1))
    calibration = summary.optimizers[0].best_config.calibration
    assert list(calibration) == ["validation"]
    found = calibration["validation"].model_dump()
    assert {name: round(value, 12) for name, value in found.items()} == {
        "nll": 0.6,
        "brier": 0.4,
        "ece": 0.1,
    }


@pytest.fixture(scope="module")
def half_measured() -> TrialTable:
    """Trials of two optimizers, of which one has calibration."""
    results = [trial(seed, **fields) for seed, fields in enumerate(MEASURED)]
    results += [trial(seed, "Adam") for seed in range(2)]
    return TrialTable.from_results(results, chance_accuracy=0.1)


def test_table_shows_each_optimizer_and_a_dash_where_unmeasured(half_measured: TrialTable) -> None:
    table = calibration_table(summarize(half_measured))
    assert table.columns == ("optimizer", "NLL validation", "Brier validation", "ECE % validation")
    assert sorted(table.rows) == [("Adam", "–", "–", "–"), ("MSGD", "0.6", "0.4", "10.0")]


@pytest.mark.slow
def test_report_has_calibration_where_it_was_measured(
    half_measured: TrialTable, make_result: Callable[..., TrialResult]
) -> None:
    assert "Calibration" in html_report(half_measured)
    unmeasured = TrialTable.from_results([make_result()], chance_accuracy=0.1)
    assert calibration_table(summarize(unmeasured)).rows == ()
    assert "Calibration" not in html_report(unmeasured)
