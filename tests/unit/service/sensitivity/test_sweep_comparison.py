from dataclasses import replace
from typing import Any

import pytest

from service.sensitivity import (
    InvalidOptionError,
    NotAvailableError,
    SweepComparison,
    SweepToCompare,
    UnknownNameError,
    compare_sweeps,
    comparison_csv,
    comparison_table,
    compute_comparison_figure,
    export_figure,
    summarize,
)
from tests.support.made_up_trials import random_table

SPECIFICATION = {
    "name": "first",
    "model": {"name": "vgg19"},
    "search": {"learning_rate": [1e-4, 1e-3, 1e-2, 1e-1]},
    "tags": {"owner": "vision"},
}


def make_sweep(
    sweep_id: str, workload: str, specification: Any = SPECIFICATION, **table: Any
) -> SweepToCompare:
    found = replace(random_table(seeds=(0, 1), **table), workload=workload)
    return SweepToCompare(sweep_id, f"name-{sweep_id}", specification, "0abc", found)


@pytest.fixture(scope="module")
def compared() -> SweepComparison:
    """Sweeps of two workloads."""
    return compare_sweeps([make_sweep("a", "x"), make_sweep("b", "y")])


@pytest.mark.slow
def test_compare_sweeps_headlines_are_those_of_the_summaries() -> None:
    sweeps = [make_sweep("a", "VGG on C10"), make_sweep("b", "ViT on C10", random_seed=1)]
    found = compare_sweeps(sweeps)
    assert [sweep.title for sweep in found.sweeps] == ["VGG on C10", "ViT on C10"]
    assert len(found.headlines) == 10
    summary = summarize(sweeps[1].table).optimizer("SAM")
    (headline,) = (h for h in found.headlines if (h.sweep_id, h.optimizer) == ("b", "SAM"))
    assert headline.accuracy == summary.best_config.ood_accuracy
    assert headline.mean_accuracy_interval == summary.intervals["ood_accuracy.mean"]
    assert headline.lr_sensitivity_interval == summary.intervals["lr_sensitivity"]


@pytest.mark.slow
def test_compare_sweeps_says_what_differs_and_what_that_means() -> None:
    other = {
        **SPECIFICATION,
        "name": "second",
        "model": {"name": "vit-small"},
        "search": {"learning_rate": [1e-3, 1e-2]},
        "tags": {},
    }
    first, second = make_sweep("a", "x"), make_sweep("b", "y", other, rates=(1e-3, 1e-2))
    found = compare_sweeps([first, second])
    assert found.differing["model.name"] == ["vgg19", "vit-small"]
    assert found.differing["search.learning_rate"][1] == "[0.001, 0.01]"
    assert set(found.differing) == {"model.name", "search.learning_rate"}
    assert [caveat.code for caveat in found.caveats] == ["different_grids"]


def test_compare_sweeps_one_workload_has_no_profiles() -> None:
    found = compare_sweeps([make_sweep("a", "same"), make_sweep("b", "same")])
    assert found.workloads is None
    assert [sweep.title for sweep in found.sweeps] == ["same, name-a", "same, name-b"]
    with pytest.raises(NotAvailableError) as caught:
        compute_comparison_figure("performance-profiles", found)
    assert caught.value.allowed == ("side-by-side",)


@pytest.mark.slow
def test_compare_sweeps_repeated_workload_has_a_caveat() -> None:
    found = compare_sweeps([make_sweep("a", "x"), make_sweep("b", "x"), make_sweep("c", "y")])
    assert found.workloads is not None
    assert [caveat.code for caveat in found.caveats] == ["repeated_workload"]


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "a"]])
def test_compare_sweeps_needs_two_different_ones(ids: list[str]) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        compare_sweeps([make_sweep(sweep_id, "x") for sweep_id in ids])
    assert caught.value.code == "needs_two_sweeps"


def test_comparison_as_table_and_csv_has_one_row_per_sweep_and_optimizer(
    compared: SweepComparison,
) -> None:
    table = comparison_table(compared)
    assert len(table.rows) == 10
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert table.columns[-1] == "normalised %"
    lines = comparison_csv(compared).decode().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("sweep,sweep_id,optimizer,title,learning_rate")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["side-by-side", "learning-rates", "performance-profiles", "sensitivity-plane"]
)
def test_comparison_figures_are_drawn(compared: SweepComparison, name: str) -> None:
    svg = export_figure(compute_comparison_figure(name, compared), "svg").decode()
    assert svg.startswith("<svg")
    assert "SA-SAM" in svg
    assert "NaN" not in svg


def test_compute_comparison_figure_unknown_lists_the_known_ones(compared: SweepComparison) -> None:
    with pytest.raises(UnknownNameError) as caught:
        compute_comparison_figure("best", compared)
    assert caught.value.allowed == (
        *("side-by-side", "learning-rates"),
        *("performance-profiles", "sensitivity-plane"),
    )
