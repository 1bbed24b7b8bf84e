from collections.abc import Callable
from dataclasses import replace

import pytest

from service.sensitivity import (
    NotAvailableError,
    SweepComparison,
    SweepToCompare,
    TrialResult,
    TrialTable,
    compare_sweeps,
    compare_workloads,
    compute_comparison_figure,
    published_comparison_table,
)

MakeTable = Callable[..., TrialTable]
MakeResult = Callable[..., TrialResult]


def workload(
    make_result: MakeResult, scores: dict[tuple[float, float], float], optimizer: str = "Adam"
) -> TrialTable:
    return TrialTable.from_results(
        [
            make_result(
                optimizer,
                learning_rate=rate,
                weight_decay=decay,
                seed=seed,
                val_accuracy=score + 0.001 * seed,
                ood_accuracy=None,
                gradient_evaluations=50.0,
            )
            for (rate, decay), score in scores.items()
            for seed in range(3)
        ],
        chance_accuracy=0.1,
    )


def two_workloads(make_result: MakeResult) -> dict[str, TrialTable]:
    """The best learning rate differs, the weight decay does not matter much."""
    low, high = 1e-3, 1e-2
    return {
        "a": workload(
            make_result, {(low, 0.0): 0.9, (low, 1e-4): 0.85, (high, 0.0): 0.3, (high, 1e-4): 0.2}
        ),
        "b": workload(
            make_result, {(low, 0.0): 0.35, (low, 1e-4): 0.2, (high, 0.0): 0.8, (high, 1e-4): 0.75}
        ),
    }


def test_one_configuration_for_all_and_left_out(make_result: MakeResult) -> None:
    (found,) = compare_workloads(two_workloads(make_result)).optimizers
    one = found.published.one_for_all
    assert one is not None
    assert one.configuration == {"learning_rate": 1e-3, "weight_decay": 0.0}
    assert one.left_out_configurations["a"] == {"learning_rate": 1e-2, "weight_decay": 0.0}
    assert one.scores["a"] == pytest.approx(1.0)
    assert one.regrets["a"] == pytest.approx((0.9 - 0.3) / (0.901 - 0.1))
    assert one.regrets["b"] == pytest.approx((0.8 - 0.35) / (0.801 - 0.1))
    assert one.mean_regret == pytest.approx(sum(one.regrets.values()) / 2)


def test_effective_dimension_is_the_learning_rate(make_result: MakeResult) -> None:
    (found,) = compare_workloads(two_workloads(make_result)).optimizers
    plane = found.published.plane
    assert plane is not None
    assert plane.dimension == 1
    assert plane.subsets[1] == ["learning_rate"]
    assert plane.tuned[2] == pytest.approx(plane.performance)
    assert plane.sensitivity == pytest.approx(plane.performance - plane.tuned[0])
    assert plane.configuration == {"learning_rate": 1e-3, "weight_decay": 0.0}


@pytest.mark.slow
def test_run_aggregates_have_intervals_with_three_seeds(make_table: MakeTable) -> None:
    tables = {str(seed): make_table(random_seed=seed, seeds=(0, 1, 2)) for seed in range(2)}
    found = compare_workloads(tables)
    for optimizer in found.optimizers:
        runs = optimizer.published.runs
        assert runs is not None
        assert runs.n_runs == 6
        assert runs.interquartile_mean_low is not None
        assert runs.interquartile_mean_high is not None
        assert runs.interquartile_mean_low <= runs.interquartile_mean
        assert runs.interquartile_mean <= runs.interquartile_mean_high
        for label, probability in runs.probability_of_improvement.items():
            other = next(one for one in found.optimizers if one.optimizer == label)
            assert other.published.runs is not None
            back = other.published.runs.probability_of_improvement[optimizer.optimizer]
            assert probability + back == pytest.approx(1)


def test_profiles_in_gradient_evaluations_count_the_cost_of_a_step(make_table: MakeTable) -> None:
    tables = {str(seed): make_table(random_seed=seed) for seed in range(3)}
    for optimizer in compare_workloads(tables).optimizers:
        published = optimizer.published
        profile = published.gradient_evaluations_profile
        assert profile == sorted(profile)
        assert 0 <= published.gradient_evaluations_score <= 1
        assert 0 <= published.fastest_score <= 1
        for name, trials in optimizer.trials_to_target.items():
            evaluations = published.gradient_evaluations_to_target[name]
            assert (trials is None) == (evaluations is None)


def test_probability_of_best_is_the_mean_over_workloads(make_table: MakeTable) -> None:
    tables = {str(seed): make_table(random_seed=seed) for seed in range(2)}
    found = [one.published.probability_of_best for one in compare_workloads(tables).optimizers]
    assert all(one is not None for one in found)
    assert sum(one.probabilities[0] for one in found if one) == pytest.approx(1)


def test_an_optimizer_of_one_workload_only_has_reasons(make_table: MakeTable) -> None:
    tables = {
        "a": make_table(optimizers=["SA-SAM", "Adam"]),
        "b": make_table(optimizers=["SA-SAM", "SAM", "Adam"], random_seed=1),
    }
    sam = compare_workloads(tables).optimizers[2].published
    assert (sam.plane, sam.one_for_all, sam.runs) == (None, None, None)
    codes = {name: reason.code for name, reason in sam.undefined.items()}
    assert codes == {
        **dict.fromkeys(("plane", "one_for_all", "runs"), "not_on_every_workload"),
        "probability_of_best": "different_optimizers",
    }


def test_no_common_configuration_has_a_reason_and_no_plane(make_table: MakeTable) -> None:
    tables = {
        "a": make_table(rates=(1e-3, 1e-2)),
        "b": make_table(rates=(0.5, 5.0), random_seed=1),
    }
    found = compare_workloads(tables)
    assert found.optimizers[0].published.undefined["plane"].code == "no_common_configuration"
    with pytest.raises(NotAvailableError) as caught:
        compute_comparison_figure("sensitivity-plane", _comparison(tables))
    assert caught.value.code == "no_common_configuration"


def test_the_plane_has_a_point_and_a_curve_of_each_optimizer(make_table: MakeTable) -> None:
    tables = {name: make_table(random_seed=seed) for seed, name in enumerate("ab")}
    figure = compute_comparison_figure("sensitivity-plane", _comparison(tables))
    assert len(figure.where(panel="plane")) == 5
    assert len(figure.where(panel="curve")) == 5 * 3


def test_published_comparison_table(make_table: MakeTable) -> None:
    tables = {name: make_table(random_seed=seed) for seed, name in enumerate("ab")}
    table = published_comparison_table(_comparison(tables))
    assert table is not None
    assert {len(row) for row in table.rows} == {len(table.columns)}
    same = {"a": tables["a"]}
    one = [SweepToCompare(name, name, {}, None, table) for name in "xy" for table in same.values()]
    assert published_comparison_table(compare_sweeps(one)) is None


def _comparison(tables: dict[str, TrialTable]) -> SweepComparison:
    return compare_sweeps(
        [
            SweepToCompare(name, name, {}, None, replace(table, workload=name))
            for name, table in tables.items()
        ]
    )
