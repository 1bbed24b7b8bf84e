from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.sensitivity import TrialResult, TrialTable, compute_figure, render_table, summarize
from workers.metrics import Outcome

Make = Callable[..., TrialResult]


def of(results: list[TrialResult], **options: Any) -> TrialTable:
    return TrialTable.from_results(results, chance_accuracy=0.1, **options)


def test_one_configuration_is_no_verdict(make_result: Make) -> None:
    found = summarize(of([make_result(seed=seed) for seed in range(3)])).optimizers[0]
    assert "its dependence on tuning is unknown" in found.sentence
    assert "loses" not in found.sentence
    assert (found.mean_regret, found.lr_sensitivity, found.lr_tolerance) == (None, None, None)


def test_one_learning_rate_is_no_verdict(make_result: Make) -> None:
    results = [make_result(weight_decay=decay) for decay in (0.0, 1e-4, 1e-3)]
    found = summarize(of(results)).optimizers[0]
    assert "one learning rate was tried, so what a wrong one costs is unknown" in found.sentence
    assert found.lr_sensitivity is None
    assert found.axes["learning_rate"].undefined["tolerance"] == "It has fewer than three values."


def test_best_on_the_edge_has_one_side(make_result: Make) -> None:
    rates = [(1e-3, 0.5), (1e-2, 0.6), (1e-1, 0.7)]
    results = [make_result(learning_rate=rate, ood_accuracy=s, val_accuracy=s) for rate, s in rates]
    found = summarize(of(results)).optimizers[0]
    assert found.lr_tolerance is not None
    last = found.lr_tolerance.off_by[-1]
    assert (last.too_small, last.too_large, last.loss) == (pytest.approx(0.1), None, None)
    assert last.reason == "The learning rate 1 is beyond the grid."
    assert found.lr_tolerance.width_is_lower_bound
    assert "times too small; the other side is unknown" in found.sentence


def test_cost_lost_in_the_noise_is_none_in_words(make_result: Make) -> None:
    # Validation selects the middle rate; on evaluation both neighbours are better.
    results = [
        make_result(learning_rate=rate, val_accuracy=val + 0.001 * seed, ood_accuracy=ood)
        for rate, val, ood in ((1e-3, 0.8, 0.75), (1e-2, 0.9, 0.7), (1e-1, 0.8, 0.75))
        for seed in range(3)
    ]
    found = summarize(of(results)).optimizers[0]
    assert found.lr_tolerance is not None
    assert (found.lr_tolerance.off_by[0].loss or 0) < 0
    assert "loses 0 points if 2 times off" in found.sentence


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome.FAILED, "all 2 trials failed"),
        (Outcome.PRUNED, "all 2 trials were stopped early"),
        (None, "all 2 trials have not ended yet"),
    ],
)
def test_optimizer_without_a_result_is_listed_with_the_reason(
    make_result: Make, outcome: Outcome | None, reason: str
) -> None:
    failed = [
        replace(make_result("Adam", learning_rate=rate), outcome=outcome, val_accuracy=None)
        for rate in (1e-3, 1e-2)
    ]
    fine = [make_result(learning_rate=rate) for rate in (1e-3, 1e-2)]
    found = summarize(of([*fine, *failed]))
    (missing,) = found.unscored_optimizers
    assert (missing.optimizer, missing.reason) == ("Adam", reason)
    assert found.ended == (outcome is not None)
    table = render_table(found)
    assert table.rows[-1][0] == "Adam"
    assert missing.sentence in table.sentences


def test_ended_sweep_promises_no_further_trials(make_result: Make) -> None:
    results = [make_result(), replace(make_result(seed=1), outcome=None)]
    messages = {
        ended: " ".join(c.message for c in summarize(of(results, ended=ended)).caveats)
        for ended in (False, True)
    }
    assert "may still change" in messages[False]
    assert "may still change" not in messages[True]
    assert "none of them will follow" in messages[True]


def test_raised_accuracies_are_marked_in_table_and_heatmap(make_result: Make) -> None:
    results = [
        make_result(learning_rate=rate, weight_decay=decay, val_accuracy=0.094, ood_accuracy=0.2)
        for rate in (1e-3, 1e-2)
        for decay in (0.0, 1e-4)
    ]
    table = of(results)
    row = dict(
        zip(
            render_table(summarize(table)).columns,
            render_table(summarize(table)).rows[0],
            strict=True,
        )
    )
    assert (row["val %"], row["OOD %"]) == ("10.0‡", "20.0")
    figure = compute_figure("heatmap", table, metric="val_accuracy")
    assert {record["label"] for record in figure.records} == {"10.0‡"}
    assert any("counts as chance" in note for note in figure.notes)
