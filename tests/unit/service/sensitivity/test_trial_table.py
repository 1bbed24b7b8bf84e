from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.sensitivity import (
    Axis,
    History,
    InvalidOptionError,
    InvalidTrialsError,
    TrialResult,
    TrialTable,
    UnknownNameError,
)
from workers.metrics import Outcome

MakeResult = Callable[..., TrialResult]


def table(*rows: TrialResult, **options: Any) -> TrialTable:
    return TrialTable.from_results(rows, chance_accuracy=0.1, **options)


def test_from_results_diverged_trial_counts_as_chance(make_result: MakeResult) -> None:
    lost = make_result(outcome=Outcome.DIVERGED, val_accuracy=0.4, ood_accuracy=None)
    (trials,) = table(make_result(seed=1), lost).by_optimizer
    np.testing.assert_array_equal(trials.val, [[0.1, 0.9]])
    np.testing.assert_array_equal(trials.ood, [[0.1, 0.7]])
    np.testing.assert_array_equal(trials.diverged, [[True, False]])


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf")])
def test_from_results_completed_but_not_finite_counts_as_diverged(
    make_result: MakeResult, accuracy: float
) -> None:
    (trials,) = table(make_result(val_accuracy=accuracy)).by_optimizer
    assert trials.diverged.all()
    assert trials.ood.item() == 0.1


def test_from_results_below_chance_is_raised_and_counted(make_result: MakeResult) -> None:
    (trials,) = table(make_result(val_accuracy=0.05, ood_accuracy=0.2)).by_optimizer
    assert (trials.val.item(), trials.ood.item()) == (0.1, 0.2)
    assert trials.n_below_chance == 1
    assert not trials.diverged.any()


@pytest.mark.parametrize("outcome", [None, Outcome.FAILED, Outcome.CANCELLED, Outcome.PRUNED])
def test_from_results_missing_trial_is_a_hole(
    make_result: MakeResult, outcome: Outcome | None
) -> None:
    found = table(make_result(), make_result(seed=1, outcome=outcome))
    (trials,) = found.by_optimizer
    assert np.isnan(trials.val[0, 1])
    assert not found.complete
    assert found.n_finished == 1


def test_from_results_completed_without_ood_accuracy_is_a_hole_where_others_have_it(
    make_result: MakeResult,
) -> None:
    found = table(make_result(), make_result(seed=1, ood_accuracy=None))
    assert found.n_finished == 1


def test_from_results_without_any_ood_accuracy_keeps_all_trials(make_result: MakeResult) -> None:
    found = table(make_result(ood_accuracy=None), make_result(seed=1, ood_accuracy=None))
    assert not found.has_ood
    assert found.complete


def test_from_results_later_row_replaces_earlier(make_result: MakeResult) -> None:
    (trials,) = table(make_result(outcome=Outcome.DIVERGED), make_result()).by_optimizer
    assert trials.val.item() == 0.9
    assert not trials.diverged.any()


def test_from_results_orders_configurations_by_rate_then_decay(make_result: MakeResult) -> None:
    rows = [
        make_result(learning_rate=rate, weight_decay=decay)
        for rate in (0.1, 0.01)
        for decay in (1, 0)
    ]
    (trials,) = table(*rows).by_optimizer
    places = [tuple(configuration.values()) for configuration in trials.configurations]
    assert places == [(0.01, 0), (0.01, 1), (0.1, 0), (0.1, 1)]


def test_from_results_plan_larger_than_rows_is_incomplete(make_result: MakeResult) -> None:
    plan = [Axis.of("learning_rate", [1e-2, 1e-1]), Axis.of("weight_decay", [0.0])]
    found = table(make_result(), axes={"MSGD": plan}, seeds=[0])
    assert found.planned_trials == 2
    assert not found.complete


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ({"optimizers": ["Adam"]}, "trial_outside_plan"),
        ({"axes": {"MSGD": [Axis.of("learning_rate", [0.5])]}}, "trial_outside_plan"),
        ({"axes": {"MSGD": [Axis.of("optimizer.momentum", [0.9])]}}, "trial_outside_plan"),
        ({"seeds": [7]}, "trial_outside_plan"),
    ],
)
def test_from_results_outside_the_plan_is_refused(
    make_result: MakeResult, plan: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidTrialsError) as caught:
        table(make_result(), **plan)
    assert caught.value.code == code


def test_from_results_percentages_are_refused(make_result: MakeResult) -> None:
    with pytest.raises(InvalidTrialsError, match=r"ood_accuracy 73\.2; a number in \[0, 1\]"):
        table(make_result(ood_accuracy=73.2))


def test_from_results_wrong_options_are_refused(make_result: MakeResult) -> None:
    with pytest.raises(InvalidOptionError, match=r"1\.0 is not in \[0, 1\)"):
        TrialTable.from_results([make_result()], chance_accuracy=1.0)
    with pytest.raises(UnknownNameError, match="grid, random, tpe"):
        TrialTable.from_results([make_result()], chance_accuracy=0.1, search="bayes")  # type: ignore[arg-type]


def test_curvature_reads_completed_trials_only(make_result: MakeResult) -> None:
    measured = {"ood": 5.0}
    (trials,) = table(
        make_result(hessian_trace=measured),
        make_result(seed=1, hessian_trace=measured, outcome=Outcome.DIVERGED),
        make_result(seed=2, hessian_trace={"ood": float("inf")}),
    ).by_optimizer
    np.testing.assert_array_equal(trials.curvature("hessian_trace", "ood"), [[5.0, np.nan, np.nan]])
    assert np.isnan(trials.curvature("hessian_trace", "validation")).all()


HISTORY = History(epoch=[1, 2, 3], gradient_evaluations=[10, 20, 30], val_accuracy=[0.3, 0.5, None])


@pytest.mark.parametrize(
    ("outcome", "budget", "expected"),
    [
        (Outcome.COMPLETED, 20, 0.5),
        (Outcome.COMPLETED, 29.9, 0.5),
        (Outcome.DIVERGED, 20, 0.5),  # it diverged later
        (Outcome.DIVERGED, 31, 0.1),  # within the budget
        (Outcome.PRUNED, 10, 0.3),
        (Outcome.PRUNED, 40, None),
        (None, 25, 0.5),  # still running, but past the budget
        (Outcome.COMPLETED, 9, None),  # not one epoch fits
    ],
)
def test_within_budget_reads_what_the_budget_had_reached(
    make_result: MakeResult, outcome: Outcome | None, budget: float, expected: float | None
) -> None:
    found = table(make_result(outcome=outcome, history=HISTORY)).within_budget(budget)
    value = found.by_optimizer[0].val.item()
    assert value == pytest.approx(expected) if expected is not None else np.isnan(value)
    assert not found.has_ood


def test_within_budget_without_history_is_a_hole(make_result: MakeResult) -> None:
    rows = (
        make_result(history=HISTORY),
        make_result(seed=1),
        make_result(seed=2, outcome=Outcome.DIVERGED),
        make_result(seed=3, outcome=Outcome.DIVERGED, history=History([], [], [])),
    )
    (trials,) = table(*rows).within_budget(20).by_optimizer
    np.testing.assert_array_equal(trials.finished, [[True, False, False, True]])


def test_only_keeps_the_plan_of_the_chosen_optimizers(make_result: MakeResult) -> None:
    rows = [make_result(label, seed=seed) for label in ("SAM", "MSGD", "Adam") for seed in (0, 1)]
    found = table(*rows[:-1]).only(["Adam", "SAM"])
    assert found.optimizers == ("Adam", "SAM")
    assert (found.n_finished, found.planned_trials) == (3, 4)
    with pytest.raises(UnknownNameError, match="SAM, MSGD, Adam") as unknown:
        table(*rows).only(["Lion"])
    assert unknown.value.code == "unknown_optimizer"


def test_from_results_optimizers_have_their_own_axes_and_grids(make_result: MakeResult) -> None:
    betas = Axis.of("optimizer.betas", [[0.9, 0.999], [0.9, 0.95]])
    rates = Axis.of("learning_rate", [0.1, 0.01])
    found = table(
        make_result("Adam", hyperparameters={"optimizer.betas": [0.9, 0.95], "learning_rate": 0.1}),
        make_result("MSGD", hyperparameters={"learning_rate": 0.01}),
        axes={"Adam": [betas, rates], "MSGD": [rates]},
        seeds=[0, 1],
    )
    adam, msgd = found.by_optimizer
    assert [axis.name for axis in adam.axes] == ["learning_rate", "optimizer.betas"]
    assert (adam.shape, msgd.shape) == ((2, 2), (2,))
    assert found.planned_trials == 2 * 2 * 2 + 2 * 2
    # Categories keep the order of the specification, numbers rise.
    assert list(adam.configurations) == [
        {"learning_rate": rate, "optimizer.betas": pair}
        for rate in (0.01, 0.1)
        for pair in ((0.9, 0.999), (0.9, 0.95))
    ]
    assert adam.finished.tolist() == [[False] * 2, [False] * 2, [False] * 2, [True, False]]
    assert [axis.name for axis in found.axes] == ["learning_rate", "optimizer.betas"]
    assert found.only(["MSGD"]).planned_trials == 4


def test_from_results_optimizer_that_varies_nothing_has_one_configuration(
    make_result: MakeResult,
) -> None:
    found = table(make_result(hyperparameters={}), axes={"MSGD": []})
    (trials,) = found.by_optimizer
    assert (trials.shape, found.planned_trials) == ((), 1)
    assert list(trials.configurations) == [{}]
    assert found.complete
