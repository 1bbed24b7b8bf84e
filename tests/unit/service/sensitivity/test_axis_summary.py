"""Statistics along each hyperparameter: an exact example, own axes, what is undefined."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.sensitivity import Axis, OptimizerSummary, TrialResult, TrialTable, summarize
from workers.metrics import Outcome

MakeResult = Callable[..., TrialResult]

RATE, MOMENTUM, BATCH = "learning_rate", "optimizer.momentum", "training.batch_size"
GRID = {RATE: (0.1, 0.2), MOMENTUM: (0.0, 0.9), BATCH: (32, 64)}
# A learning rate of 0.2 adds 0.2, momentum 0.1, and a batch of 64 adds 0.04 at that rate only.
ACCURACIES = [[[0.5, 0.5], [0.6, 0.6]], [[0.7, 0.74], [0.8, 0.84]]]


def trials(
    grid: Mapping[str, Sequence[Any]],
    accuracies: Any,
    optimizer: str = "MSGD",
    seeds: Sequence[int] = (0,),
) -> list[TrialResult]:
    """One trial per configuration and seed, without OOD accuracy."""
    places = itertools.product(*grid.values())
    return [
        TrialResult(
            key=f"{optimizer} {place} {seed}",
            optimizer=optimizer,
            optimizer_name=optimizer.lower(),
            hyperparameters=dict(zip(grid, place, strict=True)),
            seed=seed,
            outcome=Outcome.COMPLETED,
            val_accuracy=float(accuracy),
        )
        for place, accuracy in zip(places, np.ravel(accuracies), strict=True)
        for seed in seeds
    ]


def summary_of(rows: Sequence[TrialResult], **options: Any) -> OptimizerSummary:
    table = TrialTable.from_results(rows, chance_accuracy=0.1, **options)
    return summarize(table).optimizers[0]


def test_summarize_three_axes_by_hand() -> None:
    found = summary_of(trials(GRID, ACCURACIES))
    assert list(found.axes) == [RATE, MOMENTUM, BATCH]
    rate, momentum, batch = found.axes.values()
    assert rate.curve == pytest.approx([0.6, 0.84])
    assert momentum.curve == pytest.approx([0.74, 0.84])
    assert batch.curve == pytest.approx([0.8, 0.84])
    assert [axis.sensitivity for axis in (rate, momentum, batch)] == pytest.approx(
        [0.12, 0.05, 0.02]
    )
    assert [axis.sensitivity_marginal for axis in (rate, momentum, batch)] == pytest.approx(
        [0.11, 0.05, 0.01]
    )
    assert [axis.regret for axis in (rate, momentum, batch)] == pytest.approx([0.11, 0.05, 0.01])
    # Variances 0.0121, 0.0025, 0.0001 and 0.0001 of rate and batch together, of 0.0148.
    assert [axis.importance for axis in (rate, momentum, batch)] == pytest.approx(
        [121 / 148, 25 / 148, 1 / 148]
    )
    assert rate.interactions == pytest.approx({MOMENTUM: 0, BATCH: 1 / 148}, abs=1e-12)
    assert momentum.interactions == pytest.approx({RATE: 0, BATCH: 0}, abs=1e-12)
    assert found.hyperparameter_importance is not None
    assert found.hyperparameter_importance.total_variance == pytest.approx(0.0148)
    assert found.hyperparameter_importance.interaction == pytest.approx(1 / 148)
    assert [axis.best for axis in (rate, momentum, batch)] == [0.2, 0.9, 64]
    assert [axis.on_edge for axis in (rate, momentum, batch)] == [True, True, True]
    assert batch.values == [32, 64]
    # The fields of the learning rate repeat the numbers of its axis; there is no weight decay.
    assert found.lr_curve == rate.curve
    assert found.lr_sensitivity == rate.sensitivity
    assert (found.wd_curve, found.wd_sensitivity) == (None, None)
    assert found.best_config.weight_decay is None
    assert found.best_config.on_grid_edge.weight_decay is None
    assert found.best_config.hyperparameters == {RATE: 0.2, MOMENTUM: 0.9, BATCH: 64}


def test_summarize_seeds_give_intervals_of_each_axis() -> None:
    rows = [
        replace(row, val_accuracy=row.val_accuracy + 0.01 * row.seed)  # type: ignore[operator]
        for row in trials(GRID, ACCURACIES, seeds=(0, 1, 2))
    ]
    for axis in summary_of(rows).axes.values():
        for name in ("sensitivity", "regret", "importance"):
            interval = getattr(axis, f"{name}_interval")
            assert interval.low <= getattr(axis, name) <= interval.high
    assert all(
        axis.regret_interval is None for axis in summary_of(trials(GRID, ACCURACIES)).axes.values()
    )


def test_summarize_one_axis_regret_is_the_mean_regret() -> None:
    found = summary_of(trials({RATE: (0.1, 0.2, 0.4)}, [0.5, 0.9, 0.7]))
    assert found.axes[RATE].regret == found.mean_regret == pytest.approx(0.2)
    assert found.axes[RATE].importance == pytest.approx(1)
    assert found.axes[RATE].interactions == {}


def test_summarize_categories_have_no_edge_and_keep_their_order() -> None:
    grid = {RATE: (0.1, 0.2), "optimizer.betas": ([0.9, 0.999], [0.9, 0.95], [0.8, 0.9])}
    found = summary_of(trials(grid, [[0.5, 0.6, 0.4], [0.5, 0.7, 0.4]], "Adam"))
    betas = found.axes["optimizer.betas"]
    assert betas.kind == "category"
    assert betas.values == [[0.9, 0.999], [0.9, 0.95], [0.8, 0.9]]
    assert betas.best == [0.9, 0.95]
    assert betas.curve == pytest.approx([0.5, 0.7, 0.4])
    assert betas.on_edge is None
    assert betas.undefined["on_edge"] == "A category has no smallest or largest value."


def test_summarize_constant_axis_is_null_with_a_reason() -> None:
    found = summary_of(trials({RATE: (0.1, 0.2), BATCH: (64,)}, [[0.5], [0.7]]))
    batch = found.axes[BATCH]
    assert batch.curve == pytest.approx([0.7])
    for name in ("sensitivity", "regret", "importance", "interactions"):
        assert getattr(batch, name) is None
        assert batch.undefined[name] == "It has one value only."
    assert batch.on_edge is False
    assert found.axes[RATE].importance == pytest.approx(1)


def test_summarize_grid_with_holes_has_no_importance() -> None:
    rows = trials(GRID, ACCURACIES)
    found = summary_of([*rows[:-1], replace(rows[-1], outcome=None, val_accuracy=None)])
    rate = found.axes[RATE]
    assert rate.importance is None
    assert rate.undefined["importance"] == "The grid has configurations without a finished trial."
    assert rate.curve == pytest.approx([0.6, 0.8])
    assert rate.regret == pytest.approx((0.1 + 0.12 + 0.1 + 0.0) / 4)


def test_summarize_without_a_grid_only_importance_is_defined() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.uniform(size=(12, 2)).tolist()
    rows = [
        row
        for rate, momentum in numbers
        for row in trials({RATE: (rate,), MOMENTUM: (momentum,)}, [[rate]])
    ]
    axes = [
        Axis.of(RATE, [], scale="log", is_range=True),
        Axis.of(MOMENTUM, [], scale="linear", is_range=True),
    ]
    found = summary_of(rows, search="tpe", axes={"MSGD": axes})
    rate, momentum = found.axes[RATE], found.axes[MOMENTUM]
    assert rate.importance is not None
    assert momentum.importance is not None
    assert rate.importance > 0.8 > momentum.importance
    for name in ("curve", "sensitivity", "regret", "interactions", "tunability"):
        assert getattr(rate, name) is None
        assert rate.undefined[name].startswith("A tpe search has no lines of equal values")
    assert rate.values is None
    assert rate.undefined["values"] == "Its values are drawn from a range."
    assert rate.on_edge is True


@pytest.fixture(scope="module")
def mixed() -> TrialTable:
    """Two optimizers that share the learning rate, and one of them varies its betas."""
    betas = ([0.9, 0.95], [0.9, 0.999])
    rows = [
        *trials({RATE: (0.1, 0.2)}, [0.5, 0.7], "MSGD", seeds=(0, 1)),
        *trials(
            {RATE: (0.1, 0.2), "optimizer.betas": betas}, [[0.6, 0.8], [0.4, 0.3]], "Adam", (0, 1)
        ),
    ]
    return TrialTable.from_results(rows, chance_accuracy=0.1)


def test_summarize_optimizer_without_an_axis_says_so(mixed: TrialTable) -> None:
    found = summarize(mixed)
    assert found.axes == {RATE: [0.1, 0.2], "optimizer.betas": [[0.9, 0.95], [0.9, 0.999]]}
    absent = found.optimizer("MSGD").axes["optimizer.betas"]
    assert absent.kind is None
    assert (absent.curve, absent.sensitivity, absent.importance) == (None, None, None)
    assert set(absent.undefined.values()) == {
        "MSGD has no hyperparameter optimizer.betas in this search."
    }
    assert found.optimizer("Adam").axes["optimizer.betas"].curve == pytest.approx([0.6, 0.8])


def test_summarize_different_spaces_compare_the_selected_configurations(mixed: TrialTable) -> None:
    found = summarize(mixed)
    assert found.comparisons is not None
    (pair,) = found.comparisons.pairs
    assert not pair.same_space
    assert (pair.n_blocks, pair.mean_difference, pair.wilcoxon_p) == (0, None, None)
    assert pair.best_difference == pytest.approx(-0.1)
    assert pair.best_difference_interval is not None
    assert pair.probability_of_improvement == 0.0  # of the selected ones, over seeds
    assert found.comparisons.mean_rank is None
    (caveat,) = [c for c in found.caveats if c.code == "different_spaces"]
    assert "only the selected ones are compared" in caveat.message


def test_summarize_other_values_of_the_same_axis_are_another_space() -> None:
    rows = [
        *trials({RATE: (0.1, 0.2)}, [0.5, 0.7], "MSGD"),
        *trials({RATE: (0.1, 0.4)}, [0.5, 0.6], "Adam"),
    ]
    found = summarize(TrialTable.from_results(rows, chance_accuracy=0.1))
    assert found.comparisons is not None
    assert not found.comparisons.pairs[0].same_space
    assert found.learning_rates == [0.1, 0.2, 0.4]


def test_summarize_default_of_an_axis_comes_from_the_caller() -> None:
    rows = trials(GRID, ACCURACIES)
    table = TrialTable.from_results(rows, chance_accuracy=0.1)
    unknown = summarize(table).optimizers[0]
    assert unknown.tunability is None
    assert unknown.axes[RATE].undefined["tunability"] == "The default configuration was not tried."
    default = {RATE: 0.1, MOMENTUM: 0.0, BATCH: 32}
    found = summarize(table, defaults={"MSGD": default}).optimizers[0]
    assert found.tunability is not None
    assert found.tunability.overall == pytest.approx(0.34)
    gains = [axis.tunability for axis in found.axes.values()]
    assert gains == pytest.approx([0.2, 0.1, 0.0])


def test_summarize_edge_caveat_of_any_number(mixed: TrialTable) -> None:
    found = summarize(TrialTable.from_results(trials(GRID, ACCURACIES), chance_accuracy=0.1))
    edges = [c.message for c in found.caveats if c.code == "best_hyperparameter_on_grid_edge"]
    assert [message.partition(" is ")[0] for message in edges] == [
        "The best momentum",
        "The best batch size",
    ]
    assert "best_hyperparameter_on_grid_edge" not in {c.code for c in summarize(mixed).caveats}


def test_summarize_sentence_names_the_hyperparameter_that_matters_most() -> None:
    accuracies = np.transpose(ACCURACIES, (1, 0, 2))  # momentum has the effect of the rate
    assert (
        "; 12 points between its best and its mean momentum"
        in summary_of(trials(GRID, accuracies)).sentence
    )


@settings(deadline=None, max_examples=25)
@given(
    hnp.arrays(np.int64, (2, 3, 2), elements=st.integers(200, 1000), unique=True),
    st.permutations(range(3)),
)
def test_summarize_order_of_axes_changes_nothing(permille: np.ndarray, order: list[int]) -> None:
    """Ties apart, which the first configuration wins, numbers do not depend on the order."""
    accuracies = permille / 1000
    names = ["optimizer.momentum", "optimizer.nesterov", "training.label_smoothing"]
    grid = dict(zip(names, ((0.0, 0.9), ("a", "b", "c"), (0.0, 0.1)), strict=True))
    permuted = {names[at]: grid[names[at]] for at in order}
    first = summary_of(trials(grid, accuracies)).axes
    second = summary_of(trials(permuted, np.transpose(accuracies, order))).axes
    assert list(second) == list(permuted)
    for name in names:
        one, other = first[name].model_dump(), second[name].model_dump()
        for field, value in one.items():
            if isinstance(value, float | dict) or field == "curve":
                assert other[field] == pytest.approx(value, abs=1e-9), (name, field)
            else:
                assert other[field] == value, (name, field)


@settings(deadline=None, max_examples=25)
@given(hnp.arrays(np.float64, (3, 2), elements=st.floats(0.2, 1)))
def test_summarize_constant_axis_changes_no_other_number(accuracies: np.ndarray) -> None:
    grid = {RATE: (0.1, 0.2, 0.4), MOMENTUM: (0.0, 0.9)}
    without = summary_of(trials(grid, accuracies)).axes
    within = summary_of(trials({**grid, BATCH: (64,)}, accuracies)).axes
    for name in grid:
        dumped = within[name].model_dump()
        (dumped["interactions"] or {}).pop(BATCH, None)
        assert dumped == without[name].model_dump()
    assert within[BATCH].sensitivity is None
