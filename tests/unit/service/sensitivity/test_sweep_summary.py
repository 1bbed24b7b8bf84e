import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.sensitivity import (
    InvalidOptionError,
    NotAvailableError,
    SweepSummary,
    TrialResult,
    TrialTable,
    summarize,
)
from workers.metrics import Outcome
from workers.spec.optimizer_facts import OptimizerFacts

MakeResult = Callable[..., TrialResult]
MakeTable = Callable[..., TrialTable]


def codes(summary: SweepSummary) -> set[str]:
    return {caveat.code for caveat in summary.caveats}


def about(summary: SweepSummary, code: str) -> list[str]:
    (found,) = (caveat for caveat in summary.caveats if caveat.code == code)
    return found.optimizers


def changed(table: TrialTable, change: Callable[[TrialResult], TrialResult | None]) -> TrialTable:
    """The same plan with some trials changed, or left out where None."""
    rows = [row for row in map(change, table.results()) if row is not None]
    return TrialTable.from_results(
        rows,
        chance_accuracy=table.chance_accuracy,
        optimizers=table.optimizers,
        axes={trials.label: trials.axes for trials in table.by_optimizer},
        seeds=table.seeds,
        workload=table.workload,
    )


def rate_of(row: TrialResult) -> Any:
    return row.hyperparameters["learning_rate"]


def moved(row: TrialResult, factor: float) -> TrialResult:
    """The same trial at another learning rate."""
    rate = rate_of(row) * factor
    return replace(row, hyperparameters={**row.hyperparameters, "learning_rate": rate})


def lost(row: TrialResult, outcome: Outcome | None) -> TrialResult:
    return replace(row, outcome=outcome, val_accuracy=None, ood_accuracy=None, hessian_trace={})


def test_summarize_one_seed_has_no_interval_and_says_so(make_table: MakeTable) -> None:
    found = summarize(make_table())
    assert found.ci_method is None
    assert all(not optimizer.intervals for optimizer in found.optimizers)
    assert found.optimizers[0].best_config.ood_accuracy_interval is None
    assert found.comparisons is not None
    assert all(pair.mean_difference_interval is None for pair in found.comparisons.pairs)
    assert len(about(found, "no_interval_with_one_seed")) == 5


def test_summarize_several_seeds_has_intervals_around_every_estimate(
    oracle_table: TrialTable,
) -> None:
    found = summarize(oracle_table)
    assert found.ci_method is not None
    assert "seed noise pooled over configurations" in found.ci_method
    assert found.n_seeds == 3
    for optimizer in found.optimizers:
        for name in ("lr_sensitivity", "mean_regret", "selection_regret", "wd_sensitivity"):
            interval = optimizer.intervals[name]
            assert interval.low <= getattr(optimizer, name) <= interval.high
        mean = optimizer.intervals["ood_accuracy.mean"]
        assert optimizer.ood_accuracy is not None
        assert mean.low < optimizer.ood_accuracy.mean < mean.high
    assert found.comparisons is not None
    pair = found.comparisons.pairs[0].mean_difference_interval
    assert pair is not None
    assert 0.12 < pair.low < 0.14925 < pair.high < 0.18


def test_summarize_is_reproducible(oracle_table: TrialTable) -> None:
    assert summarize(oracle_table) == summarize(oracle_table)


def test_summarize_reports_what_a_learning_rate_means(make_table: MakeTable) -> None:
    found = summarize(make_table())
    roles = {o.optimizer: o.learning_rate_role for o in found.optimizers}
    assert roles["SA-SAM"] == roles["SA-SGD"] == "initial_step_size"
    assert roles["SAM"] == roles["MSGD"] == roles["Adam"] == "step_size"
    assert about(found, "learning_rate_is_initial_step_size") == ["SA-SAM", "SA-SGD"]


def test_summarize_says_where_weight_decay_means_different_things(make_table: MakeTable) -> None:
    coupled = OptimizerFacts("", "step_size", "coupled")
    decoupled = OptimizerFacts("", "multiplier", "decoupled")
    table = make_table()
    same = replace(table, facts={"SAM": coupled, "Adam": coupled})
    assert "mixed_weight_decay" not in codes(summarize(same))
    found = summarize(replace(table, facts={"SAM": coupled, "Adam": decoupled}))
    assert about(found, "mixed_weight_decay") == ["SAM", "Adam"]
    kinds = {summary.optimizer: summary.weight_decay_kind for summary in found.optimizers}
    assert (kinds["Adam"], kinds["MSGD"]) == ("decoupled", None)
    roles = {summary.optimizer: summary.learning_rate_role for summary in found.optimizers}
    assert (roles["Adam"], roles["SA-SAM"]) == ("multiplier", "initial_step_size")


def test_default_configuration_is_that_of_the_catalog(make_result: MakeResult) -> None:
    rates = {"prodigy": 1.0, "muon": 0.02, "sa-sam": 1e-4, "of-a-package": None}
    results = [make_result(name, rate) for name in rates for rate in (1e-4, 0.02, 1.0)]
    found = summarize(TrialTable.from_results(results, chance_accuracy=0.1))
    defaults = {
        summary.optimizer: summary.tunability and summary.tunability.default_learning_rate
        for summary in found.optimizers
    }
    assert defaults == rates


def test_summarize_oracle_carries_its_caveats(oracle_table: TrialTable) -> None:
    found = summarize(oracle_table)
    assert codes(found) == {
        "diverged_at_chance",
        "learning_rate_is_initial_step_size",
        "negative_trace",
        "best_weight_decay_on_grid_edge",
        "near_duplicate_weight_decays",
        "intervals_of_maxima_lean_upward",
        "p_values_within_grid",
    }
    (scope,) = (c.message for c in found.caveats if c.code == "p_values_within_grid")
    assert "0.25" in scope  # the smallest p across three seeds


def test_summarize_sentence_says_the_gist(oracle_table: TrialTable) -> None:
    assert summarize(oracle_table).optimizer("MSGD").sentence == (
        "MSGD: 72.6 % OOD accuracy at its selected configuration; within 1 point of the best on"
        " 1 of 16 configurations; loses 1.8 points if 2 times off and 6.1 points if 10 times off in"
        " learning rate; 4 of 48 trials diverged."
    )


def test_summarize_running_sweep_is_incomplete_and_imputes_nothing(make_table: MakeTable) -> None:
    table = changed(
        make_table(seeds=(0, 1)),
        lambda row: (
            None if row.hyperparameters["learning_rate"] == 0.1 and row.optimizer == "SAM" else row
        ),
    )
    found = summarize(table)
    assert not found.complete
    assert found.missing_by_outcome == {"failed": 0, "cancelled": 0, "pruned": 0, "unfinished": 8}
    sam = found.optimizer("SAM")
    assert (sam.n_configs, sam.n_missing) == (12, 8)
    assert sam.lr_curve is not None
    assert sam.lr_curve[-1] is None
    assert sam.hyperparameter_importance is None
    assert sam.lr_sensitivity is not None
    assert sam.val_accuracy.min > 0.5
    assert "incomplete" in codes(found)


def test_summarize_failed_and_pruned_trials_are_missing_diverged_ones_are_not(
    make_table: MakeTable,
) -> None:
    outcomes = {0.1: Outcome.DIVERGED, 0.01: Outcome.FAILED, 0.001: Outcome.PRUNED}
    table = changed(
        make_table(optimizers=["Adam"], decays=(0.0,)),
        lambda row: lost(row, outcomes[rate]) if (rate := rate_of(row)) in outcomes else row,
    )
    found = summarize(table)
    adam = found.optimizer("Adam")
    assert (adam.n_trials, adam.n_diverged, adam.n_missing) == (2, 1, 2)
    assert adam.divergence_rate == 0.5
    assert adam.val_accuracy.min == 0.1
    assert found.missing_by_outcome["failed"] == found.missing_by_outcome["pruned"] == 1
    assert "pruned_trials" in codes(found)


def test_summarize_everything_diverged_is_a_summary_without_a_flat_minimum(
    make_table: MakeTable,
) -> None:
    found = summarize(changed(make_table(), lambda row: lost(row, Outcome.DIVERGED)))
    assert found.complete
    assert all(optimizer.lr_sensitivity == 0 for optimizer in found.optimizers)
    assert all(not optimizer.best_config.learned for optimizer in found.optimizers)
    assert found.comparisons is not None
    assert found.comparisons.friedman_chi2 is None
    assert json.loads(found.model_dump_json())["flattest"]["hessian_trace"] == {} or all(
        label is None for label in found.flattest["hessian_trace"].values()
    )


def test_summarize_unlearned_network_is_never_the_flattest(make_table: MakeTable) -> None:
    def flatten(row: TrialResult) -> TrialResult:
        if row.optimizer != "SAM":
            return row
        return replace(row, val_accuracy=0.13, ood_accuracy=0.12, hessian_trace={"ood": 0.01})

    found = summarize(changed(make_table(), flatten))
    assert not found.optimizer("SAM").best_config.learned
    assert found.flattest["hessian_trace"]["ood"] in {"SA-SAM", "SA-SGD"}
    assert about(found, "unlearned_curvature") == ["SAM"]
    assert "flatness means nothing" in found.optimizer("SAM").sentence


def test_summarize_one_optimizer_has_no_comparisons(make_table: MakeTable) -> None:
    found = summarize(make_table(optimizers=["MSGD"]))
    assert found.comparisons is None
    assert "p_values_within_grid" not in codes(found)
    assert found.optimizer("MSGD").near_optimal_fraction.shared_best_count >= 1


def test_summarize_optimizer_without_trials_is_named(make_table: MakeTable) -> None:
    found = summarize(changed(make_table(), lambda row: None if row.optimizer == "MSGD" else row))
    assert "MSGD" not in {optimizer.optimizer for optimizer in found.optimizers}
    assert about(found, "optimizer_without_trials") == ["MSGD"]


def test_summarize_without_ood_data_falls_back_to_validation(make_table: MakeTable) -> None:
    found = summarize(changed(make_table(), lambda row: replace(row, ood_accuracy=None)))
    assert found.evaluation_split == "validation"
    for optimizer in found.optimizers:
        assert optimizer.ood_accuracy is None
        assert optimizer.oracle_ood_accuracy is None
        assert optimizer.lr_sensitivity == optimizer.lr_sensitivity_val
        assert optimizer.selection_regret == 0
    assert "no_ood_accuracy" in codes(found)


@pytest.mark.slow
def test_summarize_random_search_leaves_grid_statistics_null(make_table: MakeTable) -> None:
    rows = [moved(row, 1 + index / 100) for index, row in enumerate(make_table().results())]
    found = summarize(TrialTable.from_results(rows, chance_accuracy=0.1, search="random"))
    msgd = found.optimizer("MSGD")
    assert msgd.lr_sensitivity is None
    assert msgd.hyperparameter_importance is not None
    assert msgd.hyperparameter_importance.method == "random_forest"
    assert msgd.tunability is None
    assert msgd.mean_regret > 0
    assert msgd.expected_max_val_accuracy.method == "with_replacement"
    assert msgd.curvature_correlation["hessian_trace"]["ood"].granulated_kendall == {}
    assert "not_a_grid" in codes(found)
    assert found.comparisons is not None
    assert found.comparisons.n_blocks == 0  # no configuration in common
    assert found.comparisons.pairs[0].wilcoxon_p is None
    assert found.comparisons.critical_difference is None
    assert "adaptive_search" not in codes(found)
    tpe = summarize(TrialTable.from_results(rows, chance_accuracy=0.1, search="tpe"))
    assert "adaptive_search" in codes(tpe)


@pytest.mark.slow
def test_summarize_search_in_progress_counts_what_is_planned(make_table: MakeTable) -> None:
    rows = list(make_table().results())
    table = TrialTable.from_results(rows, chance_accuracy=0.1, search="tpe", planned_trials=100)
    assert not table.complete
    assert {trials.n_planned for trials in table.by_optimizer} == {100 // len(table.optimizers)}
    part = table.only(table.optimizers[:1])
    assert part.planned_trials == 100 // len(table.optimizers)
    found = summarize(table)
    assert found.missing_by_outcome["unfinished"] == 100 - len(rows)
    assert "incomplete" in codes(found)


def test_summarize_pruned_trials_are_no_holes_that_may_fill(make_table: MakeTable) -> None:
    rows = list(make_table().results())
    rows[0] = replace(rows[0], outcome=Outcome.PRUNED, val_accuracy=0.99, ood_accuracy=None)
    table = TrialTable.from_results(rows, chance_accuracy=0.1)
    found = summarize(table)
    assert not found.complete
    assert "incomplete" not in codes(found)
    (caveat,) = (caveat for caveat in found.caveats if caveat.code == "pruned_trials")
    assert caveat.optimizers == [rows[0].optimizer]
    summary = found.optimizer(rows[0].optimizer)
    assert summary.n_missing == 1
    assert summary.hyperparameter_importance is None
    assert summary.best_config.val_accuracy < 0.99


def test_summarize_few_blocks_have_no_friedman_test(make_table: MakeTable) -> None:
    found = summarize(make_table(decays=(0.0,)))
    assert found.comparisons is not None
    assert found.comparisons.n_blocks == 4
    assert found.comparisons.friedman_p is None
    assert found.comparisons.critical_difference is None
    assert found.comparisons.mean_rank is not None


def test_summarize_default_configuration_by_label_name_or_ours(make_table: MakeTable) -> None:
    table = make_table()
    ours = summarize(table)
    assert ours.optimizer("SA-SAM").tunability is not None
    assert ours.optimizer("SA-SAM").tunability.default_learning_rate == 1e-4  # type: ignore[union-attr]
    assert ours.optimizer("Adam").tunability.default_learning_rate == 1e-3  # type: ignore[union-attr]
    asked = summarize(
        table,
        defaults={
            "adam": {"learning_rate": 0.1, "weight_decay": 1e-4},
            "SAM": {"learning_rate": 0.5, "weight_decay": 0.0},
        },
    )
    assert asked.optimizer("Adam").tunability.default_weight_decay == 1e-4  # type: ignore[union-attr]
    assert asked.optimizer("SAM").tunability is None
    assert about(asked, "default_not_tried") == ["SAM"]


def test_summarize_equal_compute_gives_dear_optimizers_fewer_epochs(make_table: MakeTable) -> None:
    table = make_table(epochs=6)
    found = summarize(table, gradient_evaluations="equal")
    assert found.gradient_evaluation_budget == 600.0  # MSGD's and Adam's 6 epochs of 100
    full = summarize(table)
    share = {
        label: found.optimizer(label).best_config.val_accuracy
        / full.optimizer(label).best_config.val_accuracy
        for label in ("SA-SAM", "SAM", "MSGD")
    }
    # The curves are val * (1 - 0.6**(epoch)): 2 epochs of SA-SAM, 3 of SAM, 6 of MSGD.
    assert share["SA-SAM"] == pytest.approx(1 - 0.6**2)
    assert share["SAM"] == pytest.approx(1 - 0.6**3)
    assert share["MSGD"] == pytest.approx(1 - 0.6**6)
    assert "cut_at_budget" in codes(found)
    assert "unequal_compute" in codes(full)
    assert "unequal_compute" not in codes(found)


def test_summarize_equal_compute_needs_histories(oracle_table: TrialTable) -> None:
    with pytest.raises(NotAvailableError) as caught:
        summarize(oracle_table, gradient_evaluations="equal")
    assert caught.value.code == "needs_history"
    with pytest.raises(NotAvailableError) as caught:
        summarize(oracle_table, gradient_evaluations=100.0)
    assert caught.value.code == "needs_history"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"target": 1.2}, "invalid_target"),
        ({"target": -0.1}, "invalid_target"),
        ({"target": float("nan")}, "invalid_target"),
        ({"epsilon": 2.0}, "invalid_epsilon"),
        ({"gradient_evaluations": 0.0}, "invalid_gradient_evaluations"),
        ({"gradient_evaluations": float("inf")}, "invalid_gradient_evaluations"),
    ],
)
def test_summarize_option_out_of_range_is_refused(
    oracle_table: TrialTable, options: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        summarize(oracle_table, **options)
    assert caught.value.code == code


def test_summarize_no_finished_trial_is_an_error_that_says_so(make_result: MakeResult) -> None:
    table = TrialTable.from_results(
        [make_result(outcome=None)], chance_accuracy=0.1, planned_trials=80
    )
    with pytest.raises(NotAvailableError, match="None of 80 planned trials") as caught:
        summarize(table)
    assert caught.value.code == "no_finished_trials"


def test_summarize_hostile_numbers_never_reach_json(make_table: MakeTable) -> None:
    nan, inf = float("nan"), float("inf")
    broken = {"ood": inf, "validation": nan}

    def spoil(row: TrialResult) -> TrialResult:
        if row.optimizer == "Adam":
            return replace(row, val_accuracy=nan)
        return replace(
            row,
            val_loss=inf,
            ood_loss=nan,
            hessian_trace=broken if row.optimizer == "SAM" else {"ood": 1e24},
            hessian_trace_stderr=broken,
            hessian_lambda_max=broken,
            gradient_evaluations=nan,
        )

    text = summarize(changed(make_table(seeds=(0, 1)), spoil)).model_dump_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["diverged_trials"] == 32
    assert SweepSummary.model_validate_json(text).diverged_trials == 32


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "seconds"),
    [((4, 4, 1), 0.15), ((20, 20, 5), 2.0)],
    ids=["80 trials", "10,000 trials"],
)
def test_summarize_is_fast_enough_to_compute_on_request(
    make_table: MakeTable, shape: tuple[int, int, int], seconds: float
) -> None:
    rates, decays, seeds = shape
    table = make_table(
        rates=[10.0 ** (-index / 6) for index in range(rates)],
        decays=[10.0 ** (-index / 6) for index in range(decays)],
        seeds=range(seeds),
        epochs=1,
    )
    summarize(make_table(seeds=(0, 1)))  # imports what the first summary needs

    def spent() -> float:
        started = time.process_time()
        summarize(table)
        return time.process_time() - started

    assert min(spent() for _ in range(2)) < seconds
