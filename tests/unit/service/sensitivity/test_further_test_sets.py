"""Results on further test sets in summaries."""

from dataclasses import replace

import pytest

from service.sensitivity import TrialTable, further_test_set_table, html_report, summarize
from workers.metrics import Outcome

NAME = "cifar10.1-v6"


def test_test_set_is_summarised_like_ood_accuracy(oracle_table: TrialTable) -> None:
    results = [
        trial
        if trial.ood_accuracy is None
        else replace(trial, test_accuracy={NAME: trial.ood_accuracy})
        for trial in oracle_table.results()
    ]
    summary = summarize(TrialTable.from_results(results, chance_accuracy=0.1))
    for optimizer in summary.optimizers:
        found = optimizer.test_sets[NAME]
        assert optimizer.ood_accuracy is not None
        assert found.accuracy == pytest.approx(optimizer.best_config.ood_accuracy, abs=1e-12)
        assert found.mean == pytest.approx(optimizer.ood_accuracy.mean, abs=1e-12)
        assert found.accuracy_interval is not None
        assert found.accuracy_interval.low <= found.accuracy <= found.accuracy_interval.high
        for name, share in found.importance.items():
            assert share == pytest.approx(optimizer.axes[name].importance, abs=1e-12)


@pytest.mark.slow
def test_table_and_report_show_accuracy_with_its_interval(oracle_table: TrialTable) -> None:
    results = [
        replace(trial, test_accuracy={} if trial.ood_accuracy is None else {NAME: 0.5})
        for trial in oracle_table.results()
    ]
    table = TrialTable.from_results(results, chance_accuracy=0.1)
    shown = further_test_set_table(summarize(table))
    assert shown.columns == ("optimizer", NAME)
    assert [row[1].split(" ")[0] for row in shown.rows] == ["50.0"] * 3
    assert "Further test sets" in html_report(table)
    assert further_test_set_table(summarize(oracle_table)).rows == ()


def test_accuracy_below_chance_counts_as_chance(oracle_table: TrialTable) -> None:
    results = [
        replace(trial, test_accuracy={NAME: 0.02})
        for trial in oracle_table.results()
        if trial.outcome == Outcome.COMPLETED
    ]
    summary = summarize(TrialTable.from_results(results, chance_accuracy=0.1))
    assert {s.test_sets[NAME].accuracy for s in summary.optimizers} == {0.1}


def test_sweep_without_further_test_sets_has_none(oracle_table: TrialTable) -> None:
    assert all(not s.test_sets for s in summarize(oracle_table).optimizers)
