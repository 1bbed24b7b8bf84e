import math
from collections.abc import Callable

import pytest
from scipy import stats

from study.evidence import (
    accuracy_at_largest_rate,
    curvature_log_ratio,
    flatness_tau,
    loss_at_largest_rate,
    lowest_share,
    over_seeds,
    selected_curvature,
    threshold_of_learning,
)
from study.records import PartRecord

MakeRecord = Callable[..., PartRecord]


def test_interval_over_seeds_is_students() -> None:
    values = [0.1, 0.4, 0.2, 0.35]
    found = over_seeds(values)
    low, high = stats.t.interval(0.95, 3, loc=found.value, scale=stats.sem(values))
    assert found.value == pytest.approx(0.2625)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_seed_has_no_interval() -> None:
    assert over_seeds([0.1]).low is None
    assert over_seeds([]).value is None


def test_curvature_ratio_is_in_decades(make_record: MakeRecord) -> None:
    found = curvature_log_ratio(make_record(), "adam", "sa-sam", "hessian_trace")
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))


def test_curvature_ratio_leaves_out_trials_that_did_not_learn(make_record: MakeRecord) -> None:
    made = make_record(
        accuracy_at=lambda label, rate, seed: 0.1 if (label, rate) == ("adam", 1e-1) else 0.8
    )
    flat = [
        trial._replace(hessian_trace=1e-3)
        if (trial.optimizer, trial.learning_rate) == ("adam", 1e-1)
        else trial
        for trial in made.trials
    ]
    made = made.model_copy(update={"trials": flat})
    whole = curvature_log_ratio(made, "adam", "sa-sam", "hessian_trace")
    learned = curvature_log_ratio(made, "adam", "sa-sam", "hessian_trace", learned_only=True)
    assert whole.value is not None
    assert whole.value < 0
    assert learned.value == pytest.approx(1.0)


def test_curvature_ratio_leaves_out_diverged_trials(make_record: MakeRecord) -> None:
    made = make_record()
    trials = [
        trial._replace(hessian_trace=None, outcome="diverged")
        if trial.optimizer == "adam" and trial.learning_rate > 1e-3
        else trial
        for trial in made.trials
    ]
    made = made.model_copy(update={"trials": trials})
    assert curvature_log_ratio(made, "adam", "sa-sam", "hessian_trace").value == pytest.approx(1)
    selected = curvature_log_ratio(made, "adam", "sa-sam", "hessian_trace", selected_only=True)
    assert selected.value is None
    assert selected_curvature(made, "adam", "hessian_trace") is None
    assert lowest_share(made, "adam", "hessian_trace") == (0, 2)


def test_lowest_share_counts_configurations(make_record: MakeRecord) -> None:
    made = make_record()
    assert lowest_share(made, "sa-sam", "hessian_trace") == (6, 6)
    assert lowest_share(made, "sam", "hessian_trace") == (0, 6)


def test_accuracy_at_the_largest_rate(make_record: MakeRecord) -> None:
    lowered = {"sa-sgd": 0.3, "sa-sam": 0.6}
    made = make_record(
        accuracy_at=lambda label, rate, seed: lowered.get(label, 0.8) if rate == 1e-1 else 0.8
    )
    assert accuracy_at_largest_rate(made, "sa-sgd").value == pytest.approx(0.3)
    assert loss_at_largest_rate(made, "sa-sgd").value == pytest.approx(0.5)
    lacking = accuracy_at_largest_rate(made, "sa-sgd", less_than="sa-sam")
    assert lacking.value == pytest.approx(0.3)


def test_threshold_of_learning_is_half_of_the_gain(make_record: MakeRecord) -> None:
    assert threshold_of_learning(make_record()) == pytest.approx(0.1 + (0.8 - 0.1) / 2)


def test_flatness_tau_is_negative_where_flatter_is_better(make_record: MakeRecord) -> None:
    made = make_record(accuracy_at=lambda label, rate, seed: 0.9 + math.log10(rate) / 100)
    trials = [trial._replace(hessian_trace=1 / trial.learning_rate) for trial in made.trials]
    found = flatness_tau(made.model_copy(update={"trials": trials}), None, "hessian_trace")
    assert found.value == pytest.approx(-1.0)
