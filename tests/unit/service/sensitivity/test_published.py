import csv
import io
from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest

from service.sensitivity import (
    OptimizerSummary,
    SweepSummary,
    TrialResult,
    TrialTable,
    gain_table,
    html_report,
    published_table,
    summarize,
    summary_csv,
)
from workers.metrics import Outcome

MakeTable = Callable[..., TrialTable]
MakeResult = Callable[..., TrialResult]


def table_of(trials: list[TrialResult], **options: Any) -> TrialTable:
    return TrialTable.from_results(trials, chance_accuracy=0.1, **options)


def only(summary: SweepSummary) -> OptimizerSummary:
    (found,) = summary.optimizers
    return found


def peak(make_result: MakeResult, **changes: Any) -> list[TrialResult]:
    """One optimizer with its best configuration in the middle of a 3 x 3 grid, three seeds."""
    found = []
    for i, rate in enumerate((1e-3, 1e-2, 1e-1)):
        for j, decay in enumerate((1e-5, 1e-4, 1e-3)):
            for seed in range(3):
                val = 0.9 - 0.1 * abs(i - 1) - 0.05 * abs(j - 1) + 0.001 * seed
                fields = {"val_accuracy": val, "ood_accuracy": None, "val_loss": 1 - val} | changes
                found.append(
                    make_result(
                        learning_rate=rate,
                        weight_decay=decay,
                        seed=seed,
                        gradient_evaluations=100.0,
                        **fields,
                    )
                )
    return found


def changed(
    trials: list[TrialResult], rate: float, decay: float, **changes: Any
) -> list[TrialResult]:
    place = {"learning_rate": rate, "weight_decay": decay}
    return [
        replace(trial, **changes) if trial.hyperparameters == place else trial for trial in trials
    ]


def test_loss_sensitivity_follows_the_selected_weight_decay(make_result: MakeResult) -> None:
    found = only(summarize(table_of(peak(make_result)))).published.loss_sensitivity
    assert found is not None
    assert found.value == pytest.approx((0.1 + 0 + 0.1) / 3, abs=1e-9)
    assert (found.learning_rate_low, found.learning_rate_high) == (1e-3, 1e-1)
    assert found.initial_loss == pytest.approx(log(10))


def test_loss_sensitivity_counts_a_diverged_trial_as_a_uniform_prediction(
    make_result: MakeResult,
) -> None:
    trials = peak(make_result)
    for decay in (1e-5, 1e-4, 1e-3):
        trials = changed(
            trials, 1e-1, decay, outcome=Outcome.DIVERGED, val_accuracy=None, val_loss=None
        )
    found = only(summarize(table_of(trials))).published.loss_sensitivity
    assert found is not None
    best = 1 - 0.901
    assert found.value == pytest.approx((0.1 + 0 + log(10) - best) / 3, abs=1e-9)


@pytest.mark.parametrize(
    ("code", "trials", "options"),
    [
        ("one_learning_rate", lambda make: [make(val_loss=1.0)], {}),
        ("needs_grid", lambda make: peak(make), {"search": "random"}),
        ("no_loss", lambda make: peak(make, val_loss=None), {}),
    ],
)
def test_loss_sensitivity_null_has_a_reason(
    make_result: MakeResult, code: str, trials: Any, options: dict[str, Any]
) -> None:
    published = only(summarize(table_of(trials(make_result), **options))).published
    assert published.loss_sensitivity is None
    assert published.undefined["loss_sensitivity"].code == code


def test_loss_sensitivity_needs_the_number_of_classes(make_result: MakeResult) -> None:
    table = TrialTable.from_results(peak(make_result), chance_accuracy=0)
    published = only(summarize(table)).published
    assert published.undefined["loss_sensitivity"].code == "unknown_initial_loss"


def test_local_optimum_in_the_middle_of_the_grid_has_a_certificate(
    make_result: MakeResult,
) -> None:
    found = only(summarize(table_of(peak(make_result)))).published.local_optimality
    assert found is not None
    assert found.holds
    assert found.certain
    assert found.next_cells == []
    assert [n.difference for n in found.neighbours] == pytest.approx([-0.1, -0.1, -0.05, -0.05])


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.PRUNED, Outcome.CANCELLED, None])
def test_local_optimum_beside_a_missing_neighbour_has_none_and_names_the_cell(
    make_result: MakeResult, outcome: Outcome | None
) -> None:
    trials = changed(peak(make_result), 1e-2, 1e-3, outcome=outcome)
    found = only(summarize(table_of(trials))).published.local_optimality
    assert found is not None
    assert not found.holds
    assert found.certain is None
    (missing,) = [n for n in found.neighbours if n.difference is None]
    assert missing.status == (outcome or "not_run")
    assert found.next_cells == [{"learning_rate": 1e-2, "weight_decay": 1e-3}]


def test_local_optimum_at_an_edge_asks_for_the_next_value(make_result: MakeResult) -> None:
    trials = [t for t in peak(make_result) if t.hyperparameters["learning_rate"] != 1e-1]
    found = only(summarize(table_of(trials))).published.local_optimality
    assert found is not None
    assert not found.holds
    assert found.next_cells == [{"learning_rate": 0.1, "weight_decay": 1e-4}]


def test_local_optimum_at_a_weight_decay_of_zero_has_no_neighbour_below(
    make_result: MakeResult,
) -> None:
    trials = [
        make_result(weight_decay=decay, learning_rate=rate, val_accuracy=0.9 - 0.1 * cost)
        for rate, cost in ((1e-3, 1), (1e-2, 0), (1e-1, 1))
        for decay in (0.0, 1e-4)
        if not (decay and cost)
    ] + [
        make_result(weight_decay=1e-4, learning_rate=rate, val_accuracy=0.5)
        for rate in (1e-3, 1e-1)
    ]
    trials = changed(trials, 1e-2, 1e-4, val_accuracy=0.7)
    found = only(summarize(table_of(trials))).published.local_optimality
    assert found is not None
    assert found.holds
    assert {n.hyperparameter: n.value for n in found.neighbours} == {
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
    }
    assert found.certain is None  # one seed


def test_random_search_has_bands_but_no_certificate(make_result: MakeResult) -> None:
    published = only(summarize(table_of(peak(make_result), search="random"))).published
    assert published.undefined["local_optimality"].code == "needs_grid"
    assert published.tuning_curve is not None
    assert published.tuning_curve.is_random_sample
    adaptive = only(summarize(table_of(peak(make_result), search="tpe"))).published
    assert adaptive.undefined["tuning_curve"].code == "adaptive_search"


def test_tuning_curve_of_a_grid_says_that_it_is_no_random_sample(make_table: MakeTable) -> None:
    summary = summarize(make_table())
    for optimizer in summary.optimizers:
        curve = optimizer.published.tuning_curve
        assert curve is not None
        assert not curve.is_random_sample
        assert curve.configurations == optimizer.expected_max_val_accuracy.configurations
        for low, value, high in zip(curve.mean_low, curve.mean, curve.mean_high, strict=True):
            assert low is not None
            assert high is not None
            assert low <= value <= high


def test_probability_of_best_sums_to_one_over_optimizers(make_table: MakeTable) -> None:
    summary = summarize(make_table(seeds=(0, 1)))
    found = [optimizer.published.probability_of_best for optimizer in summary.optimizers]
    totals = np.sum([one.probabilities for one in found if one is not None], axis=0)
    assert totals == pytest.approx(np.ones(len(totals)), abs=1e-12)
    alone = only(summarize(make_table(optimizers=["Adam"])))
    assert alone.published.undefined["probability_of_best"].code == "one_optimizer"


def test_cost_to_target_agrees_with_trials_to_target(make_table: MakeTable) -> None:
    for optimizer in summarize(make_table(seeds=(0, 1))).optimizers:
        cost = optimizer.published.cost_to_target
        assert cost.trials == optimizer.trials_to_target.expected_trials
        if cost.trials is not None and optimizer.gradient_evaluations is not None:
            each = optimizer.gradient_evaluations.per_trial
            assert cost.gradient_evaluations == pytest.approx(cost.trials * each)
            assert cost.fastest_gradient_evaluations in (each, None)


def test_cost_to_target_counts_what_a_diverged_trial_spent(make_result: MakeResult) -> None:
    trials = changed(
        peak(make_result),
        1e-3,
        1e-5,
        outcome=Outcome.DIVERGED,
        val_accuracy=None,
        gradient_evaluations=10.0,
    )
    cost = only(summarize(table_of(trials), target=0.9)).published.cost_to_target
    assert cost.n_hits == 1
    assert cost.gradient_evaluations == pytest.approx((7 * 100 + 10) / 2 + 100)
    assert cost.fastest_gradient_evaluations == 100
    never = only(summarize(table_of(trials), target=0.99)).published.cost_to_target
    assert (never.trials, never.gradient_evaluations) == (None, None)
    assert never.fastest_gradient_evaluations is None


def test_score_profile_of_trials(make_result: MakeResult) -> None:
    trials = peak(make_result)
    found = only(summarize(table_of(trials))).published.score_profile
    assert found is not None
    scores = [(t.val_accuracy - 0.1) / (0.901 - 0.1) for t in trials if t.val_accuracy]
    assert found.n_runs == 27
    assert found.shares == pytest.approx([np.mean(np.array(scores) > tau) for tau in found.taus])
    assert found.optimality_gap == pytest.approx(1 - np.mean(np.minimum(scores, 1)))
    nothing = only(summarize(table_of(peak(make_result, val_accuracy=0.1))))
    assert nothing.published.undefined["score_profile"].code == "nothing_learned"


def test_gain_matrix_compares_with_the_defaults_of_the_catalog(make_table: MakeTable) -> None:
    summary = summarize(make_table(optimizers=["Adam", "MSGD"]))
    matrix = summary.published.gain_matrix
    assert matrix is not None
    for a, untuned in enumerate(summary.optimizers):
        assert untuned.tunability is not None
        assert matrix.gains[a][a] == pytest.approx(untuned.tunability.overall)
        for b, tuned in enumerate(summary.optimizers):
            score = tuned.best_config.ood_accuracy
            assert score is not None
            expected = score - untuned.tunability.default_accuracy
            assert matrix.gains[a][b] == pytest.approx(expected, abs=1e-12)
    table = gain_table(summary)
    assert table is not None
    assert len(table.rows) == 2


def test_gain_matrix_without_a_default_tried_is_null(make_table: MakeTable) -> None:
    summary = summarize(make_table(rates=(0.5, 5.0)))
    assert summary.published.gain_matrix is None
    assert summary.published.undefined["gain_matrix"].code == "default_not_tried"
    assert gain_table(summary) is None


@pytest.mark.slow
def test_published_measures_reach_csv_table_and_report(make_table: MakeTable) -> None:
    table = make_table(optimizers=["Adam", "MSGD"], seeds=(0, 1))
    summary = summarize(table)
    rows = list(csv.DictReader(io.StringIO(summary_csv(summary).decode())))
    loss = summary.optimizers[0].published.loss_sensitivity
    assert loss is not None
    assert float(rows[0]["published.loss_sensitivity.value"]) == loss.value
    assert not any(name.endswith("message") for name in rows[0])
    shown = published_table(summary)
    assert [row[0] for row in shown.rows] == ["Adam", "MSGD"]
    assert {len(row) for row in shown.rows} == {len(shown.columns)}
    assert "As published" in html_report(table)


def test_published_table_of_one_trial_has_dashes(make_result: MakeResult) -> None:
    summary = summarize(table_of([make_result()]))
    (row,) = published_table(summary).rows
    assert row.count("–") >= 3
    assert SweepSummary.model_validate_json(summary.model_dump_json()) == summary


def test_caveats_of_published_measures_follow_the_trials(make_result: MakeResult) -> None:
    def codes(trials: list[TrialResult], **options: Any) -> set[str]:
        return {caveat.code for caveat in summarize(table_of(trials, **options)).published.caveats}

    trials = peak(make_result)
    assert codes(trials) == {
        "initial_loss_of_uniform_prediction",
        "bands_assume_random_draws",
        "selected_configuration_flattered",
    }
    assert codes(trials, search="random") == set()
    others = [
        make_result("SAM", learning_rate=rate, val_loss=1.0, ood_accuracy=None)
        for rate in (1e-4, 1e-3, 1.0)
    ]
    assert codes([*trials, *others]) >= {
        "different_learning_rate_ranges",
        "unevenly_spaced_learning_rates",
        "scores_taken_as_exact",
    }
