"""Calibration in summaries and their table."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

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


def test_table_and_report_show_each_optimizer_and_a_dash_where_unmeasured() -> None:
    results = [trial(seed, **fields) for seed, fields in enumerate(MEASURED)]
    results += [trial(seed, "Adam") for seed in range(2)]
    found = TrialTable.from_results(results, chance_accuracy=0.1)
    table = calibration_table(summarize(found))
    assert table.columns == ("optimizer", "NLL validation", "Brier validation", "ECE % validation")
    assert sorted(table.rows) == [("Adam", "–", "–", "–"), ("MSGD", "0.6", "0.4", "10.0")]
    assert "Calibration" in html_report(found)


def test_sweep_of_an_earlier_release_has_no_calibration(make_table: Callable[..., Any]) -> None:
    found = make_table()
    assert calibration_table(summarize(found)).rows == ()
    assert "Calibration" not in html_report(found)
