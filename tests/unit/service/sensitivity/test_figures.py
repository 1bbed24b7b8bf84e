import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.sensitivity import (
    FIGURES,
    FigureData,
    NeedsGridError,
    NotAvailableError,
    SummaryError,
    TrialResult,
    TrialTable,
    UnknownNameError,
    compare_workloads,
    compute_figure,
    draw,
    export_figure,
    heatmap,
    performance_profiles,
)
from tests.support.vega_lite import require_valid_vega_lite
from workers.metrics import Outcome

MakeResult = Callable[..., TrialResult]
MakeTable = Callable[..., TrialTable]

OPTIONS: dict[str, dict[str, Any]] = {"heatmap": {"metric": "hessian_lambda_max"}}


@pytest.fixture(scope="module")
def ugly(oracle_results: list[TrialResult]) -> TrialTable:
    """The oracle's trials with holes: a whole cell, and two of three seeds of another."""

    def unfinished(row: TrialResult) -> bool:
        cell = (row.optimizer, *row.hyperparameters.values())
        return cell == ("MSGD", 1e-4, 0.0) or (cell == ("MSGD", 1e-3, 0.0) and row.seed > 0)

    rows = [replace(row, outcome=None) if unfinished(row) else row for row in oracle_results]
    return TrialTable.from_results(rows, chance_accuracy=0.1)


def cell(figure: FigureData, optimizer: str, rate: float, decay: float) -> dict[str, Any]:
    (record,) = figure.where(optimizer=optimizer, learning_rate=rate, weight_decay=decay)
    return record


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FIGURES if name != "overview"])
def test_draw_every_figure_is_valid_vega_lite(make_table: MakeTable, name: str) -> None:
    table = make_table(optimizers=["SA-SAM", "MSGD"], seeds=(0, 1))
    figure = compute_figure(name, table, **OPTIONS.get(name, {}))
    spec = draw(figure)
    require_valid_vega_lite(spec)
    assert spec["datasets"] == {"records": figure.records}
    assert len({frozenset(record) for record in figure.records}) == 1


@pytest.mark.slow
def test_draw_overview_is_a_row_of_heatmaps_a_metric_and_split(make_table: MakeTable) -> None:
    figure = compute_figure("overview", make_table(optimizers=["SA-SAM", "MSGD"]))
    spec = draw(figure)
    assert [row["title"] for row in spec["vconcat"]] == [
        "Validation accuracy",
        "OOD accuracy",
        "Tr(H), validation",
        "Tr(H), OOD",
        "λmax(H), validation",
        "λmax(H), OOD",
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_draw_themes_change_everything_but_the_data(oracle_table: TrialTable, theme: str) -> None:
    spec = draw(compute_figure("lr-curves", oracle_table), theme=theme)
    assert spec["config"]["background"] == {"light": "#ffffff", "dark": "#14171c"}[theme]
    assert spec["datasets"] == draw(compute_figure("lr-curves", oracle_table))["datasets"]


UNMEASURED = {"corruptions", "learning-curves"}  # by the oracle's trials


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FIGURES if name not in UNMEASURED])
def test_draw_table_with_holes_has_no_broken_marks(ugly: TrialTable, name: str) -> None:
    svg = export_figure(compute_figure(name, ugly, **OPTIONS.get(name, {})), "svg")
    assert b"NaN" not in svg
    assert b"undefined" not in svg


def test_heatmap_of_curvature_distinguishes_every_state(ugly: TrialTable) -> None:
    figure = heatmap(ugly, "hessian_trace")
    negative = cell(figure, "SA-SAM", 0.01, 0.0001)
    assert (negative["state"], negative["label"], negative["negative"]) == ("value", "-6", True)
    assert negative["shade"] == 0.0
    exploded = cell(figure, "Adam", 0.1, 0.0001)
    assert (exploded["label"], exploded["shade"], exploded["learned"]) == ("1e24†", 1.0, False)
    diverged = cell(figure, "MSGD", 0.1, 0.0001)
    assert (diverged["state"], diverged["label"], diverged["value"]) == ("diverged", "div", None)
    partly = cell(figure, "MSGD", 0.1, 1e-6)
    assert (partly["state"], partly["note"]) == ("value", "1/3 div")
    missing = cell(figure, "MSGD", 0.0001, 0)
    assert (missing["state"], missing["label"], missing["shade"]) == ("missing", "–", None)
    assert cell(figure, "MSGD", 0.001, 0)["note"] == "1/3 seeds"


def test_heatmap_one_huge_trace_does_not_flatten_the_colours(oracle_table: TrialTable) -> None:
    figure = heatmap(oracle_table, "hessian_trace")
    assert figure.scale("high") <= 1e7
    sam = [record["shade"] for record in figure.where(optimizer="SA-SAM")]
    assert max(sam) - min(shade for shade in sam if shade) > 0.1  # type: ignore[type-var,operator]
    assert any("colours end at" in note for note in figure.notes)


def test_heatmap_accuracy_counts_diverged_seeds_as_chance(oracle_table: TrialTable) -> None:
    figure = heatmap(oracle_table, "ood_accuracy")
    partly = cell(figure, "MSGD", 0.1, 1e-6)
    assert partly["value"] == pytest.approx(0.482)
    assert (partly["label"], partly["note"]) == ("48.2", "1/3 div")
    assert cell(figure, "MSGD", 0.1, 0.0001)["value"] == pytest.approx(0.1)
    assert figure.scale("low") == 0.1


def test_heatmap_says_which_cells_early_stopping_left_empty(make_result: MakeResult) -> None:
    rows = [
        make_result(learning_rate=1e-3),
        make_result(learning_rate=1e-2, outcome=Outcome.PRUNED, ood_accuracy=None),
        make_result(learning_rate=1e-1, outcome=Outcome.FAILED),
    ]
    figure = heatmap(TrialTable.from_results(rows, chance_accuracy=0.1), "ood_accuracy")
    found = {
        record["learning_rate"]: (record["label"], record["note"]) for record in figure.records
    }
    assert found == {1e-3: ("70.0", ""), 1e-2: ("–", "pruned"), 1e-1: ("–", "failed")}


def test_heatmap_wrong_requests_are_refused_with_what_is_possible(
    oracle_table: TrialTable, make_result: MakeResult
) -> None:
    with pytest.raises(UnknownNameError, match="ood_accuracy") as unknown:
        heatmap(oracle_table, "train_loss")
    assert unknown.value.code == "unknown_metric"
    with pytest.raises(UnknownNameError) as split:
        heatmap(oracle_table, "hessian_trace", "validation")
    assert (split.value.code, split.value.allowed) == ("unknown_split", ("ood",))
    table = TrialTable.from_results([make_result()], chance_accuracy=0.1, search="random")
    for name, options in (("heatmap", {"metric": "ood_accuracy"}), ("lr-curves", {})):
        with pytest.raises(NeedsGridError, match=r"needs a grid.*expected-max") as random:
            compute_figure(name, table, **options)
        assert random.value.code == "needs_grid"
    with pytest.raises(NotAvailableError) as unmeasured:
        heatmap(TrialTable.from_results([make_result()], chance_accuracy=0.1), "hessian_trace")
    assert unmeasured.value.code == "not_measured"


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("pie", {}, "unknown_figure"),
        ("best", {"colour": "red"}, "unknown_option"),
        ("best", {"split": "train"}, "unknown_split"),
        ("heatmap", {}, "missing_metric"),
        ("accuracy-heatmap", {"split": "train"}, "unknown_split"),
        ("curvature-scatter", {"metric": "val_accuracy"}, "unknown_metric"),
        ("expected-max", {"budget": "euros"}, "invalid_budget"),
        ("expected-max", {"budget": "gradient_evaluations"}, "not_measured"),
        ("learning-curves", {"x": "hours"}, "invalid_x"),
        ("learning-curves", {"y": "zero"}, "invalid_y"),
        ("learning-curves", {}, "needs_history"),
        ("corruptions", {}, "not_measured"),
    ],
)
def test_compute_figure_wrong_request_has_a_code(
    oracle_table: TrialTable, name: str, options: dict[str, Any], code: str
) -> None:
    with pytest.raises(SummaryError) as caught:
        compute_figure(name, oracle_table, **options)
    assert caught.value.code == code


def test_compute_figure_option_none_is_the_default(oracle_table: TrialTable) -> None:
    assert compute_figure("best", oracle_table, split=None) == compute_figure("best", oracle_table)


def test_compute_figure_no_finished_trial_is_refused(make_result: MakeResult) -> None:
    table = TrialTable.from_results([make_result(outcome=None)], chance_accuracy=0.1)
    for name in FIGURES:
        with pytest.raises(NotAvailableError, match="planned"):
            compute_figure(name, table, **OPTIONS.get(name, {}))


def test_rank_needs_two_optimizers_and_five_blocks(make_table: MakeTable) -> None:
    with pytest.raises(NotAvailableError) as one:
        compute_figure("rank", make_table(optimizers=["SAM"]))
    assert one.value.code == "needs_two_optimizers"
    with pytest.raises(NotAvailableError) as few:
        compute_figure("rank", make_table(decays=(0.0,)))
    assert few.value.code == "needs_blocks"


def test_rank_groups_optimizers_within_the_critical_difference(
    oracle_table: TrialTable,
) -> None:
    figure = compute_figure("rank", oracle_table)
    (group,) = figure.where(kind="group")
    assert (group["start"], group["end"]) == pytest.approx((2.46875, 2.53125))


def test_lr_curves_have_bands_with_seeds_and_none_without(
    oracle_table: TrialTable, make_table: MakeTable
) -> None:
    banded = compute_figure("lr-curves", oracle_table)
    for record in banded.records:
        assert record["low"] <= record["value"] <= record["high"]  # type: ignore[operator]
    assert "datum.low" in json.dumps(draw(banded))
    alone = compute_figure("lr-curves", make_table())
    assert all(record["low"] is None for record in alone.records)
    assert "datum.low" not in json.dumps(draw(alone))  # an empty layer has no bounds of its axis


def test_tolerance_interpolates_between_learning_rates(make_result: MakeResult) -> None:
    curve = {1e-3: 0.5, 1e-2: 0.9, 1e-1: 0.8, 1.0: 0.2}
    rows = [
        make_result(learning_rate=rate, val_accuracy=value, ood_accuracy=value)
        for rate, value in curve.items()
    ]
    figure = compute_figure("tolerance", TrialTable.from_results(rows, chance_accuracy=0.1))
    found = {record["factor"]: record["value"] for record in figure.records}
    assert list(found) == [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0]
    places = np.log10(list(curve)), list(curve.values())
    for factor, cost in found.items():
        assert isinstance(factor, float)
        assert cost == pytest.approx(0.9 - np.interp(np.log10(1e-2 * factor), *places))
    assert all(record["low"] is None for record in figure.records)


def test_tolerance_ends_with_the_grid_and_names_optimizers_without_one(
    make_result: MakeResult,
) -> None:
    rows = [
        make_result(optimizer, learning_rate=rate, seed=seed, ood_accuracy=0.5 + rate + 0.01 * seed)
        for optimizer, rates in (("MSGD", (1e-3, 1e-2, 1e-1)), ("Adam", (1e-3, 1e-2)))
        for rate in rates
        for seed in (0, 1, 2)
    ]
    figure = compute_figure("tolerance", TrialTable.from_results(rows, chance_accuracy=0.1))
    assert figure.values("title") == ["MSGD"]
    assert any("Adam" in note for note in figure.notes)
    known = [record for record in figure.records if record["low"] is not None]
    assert known
    for record in known:
        assert record["low"] <= record["value"] <= record["high"]  # type: ignore[operator]


def test_curvature_scatter_keeps_what_lies_beyond_the_axis(oracle_table: TrialTable) -> None:
    figure = compute_figure("curvature-scatter", oracle_table)
    places = {record["place"] for record in figure.records}
    assert places == {"within", "below", "above"}
    assert max(record["shown"] for record in figure.records) == figure.scale("high")  # type: ignore[type-var]
    assert any("3 configurations diverged" in note for note in figure.notes)


def test_curvature_scatter_marks_the_pareto_front(oracle_table: TrialTable) -> None:
    records = compute_figure("curvature-scatter", oracle_table).records
    points = {(r["curvature"], r["accuracy"]): r["efficient"] for r in records if r["learned"]}
    best = {
        (trace, accuracy)
        for trace, accuracy in points
        if not any(
            (t, a) != (trace, accuracy) and t <= trace and a >= accuracy  # type: ignore[operator]
            for t, a in points
        )
    }
    assert 1 < len(best) < len(points)
    assert {point for point, efficient in points.items() if efficient} == best
    assert not any(r["efficient"] for r in records if not r["learned"])


def test_expected_max_never_goes_beyond_the_configurations_tried(make_table: MakeTable) -> None:
    figure = compute_figure("expected-max", make_table(), budget="gradient_evaluations")
    most = {
        label: max(float(record["budget"] or 0) for record in figure.where(optimizer=label))
        for label in ("SA-SAM", "MSGD")
    }
    assert most == {"SA-SAM": 16 * 1800.0, "MSGD": 16 * 600.0}


def test_corruptions_average_over_seeds(make_table: MakeTable) -> None:
    table = make_table(optimizers=["SAM"], seeds=(0, 1))
    figure = compute_figure("corruptions", table)
    (fog,) = figure.where(corruption="fog", severity="5")
    (mean,) = figure.where(corruption="fog", severity="mean")
    assert fog["n_seeds"] == 2
    assert float(mean["value"] or 0) - float(fog["value"] or 0) == pytest.approx(0.06)


def test_learning_curves_keep_a_line_a_seed(make_table: MakeTable) -> None:
    figure = compute_figure("learning-curves", make_table(seeds=(0, 1), epochs=4))
    assert len(figure.where(optimizer="SAM", seed=1)) == 4


@pytest.mark.parametrize(("start", "lines"), [("data", 0), ("chance", 1)])
def test_learning_curves_start_at_chance_on_request(
    make_table: MakeTable, start: str, lines: int
) -> None:
    figure = compute_figure("learning-curves", make_table(epochs=4), y=start)
    assert json.dumps(draw(figure)).count('"strokeDash": [4, 3]') == lines


@pytest.mark.slow
def test_export_figure_formats(oracle_table: TrialTable) -> None:
    figure = compute_figure("accuracy-heatmap", oracle_table)
    assert FigureData.model_validate_json(export_figure(figure, "json")) == figure
    rows = list(csv.DictReader(io.StringIO(export_figure(figure, "csv").decode())))
    assert len(rows) == 48
    assert rows[0]["optimizer"] == "SA-SAM"
    assert json.loads(export_figure(figure, "vega-lite"))["$schema"].startswith("https://vega")
    assert export_figure(figure, "png").startswith(b"\x89PNG")
    svg = export_figure(figure, "svg", theme="dark").decode()
    assert svg.startswith("<svg")
    assert "1/3 div" in svg
    with pytest.raises(UnknownNameError, match="png") as unknown:
        export_figure(figure, "bmp")
    assert unknown.value.code == "unknown_format"
    with pytest.raises(UnknownNameError, match="light, dark"):
        draw(figure, theme="sepia")


@pytest.mark.slow
def test_compute_figure_diverged_everywhere_still_draws(make_result: MakeResult) -> None:
    rows = [
        make_result(
            learning_rate=rate,
            weight_decay=decay,
            outcome=Outcome.DIVERGED,
            val_accuracy=None,
            ood_accuracy=None,
        )
        for rate in (1e-3, 1e-2)
        for decay in (0.0, 1e-4)
    ]
    table = TrialTable.from_results(rows, chance_accuracy=0.1)
    assert not table.has_ood
    for name in ("best", "accuracy-heatmap", "lr-curves", "expected-max", "overview"):
        assert export_figure(compute_figure(name, table), "svg").startswith(b"<svg")


def test_performance_profiles_rise_to_the_share_of_workloads_solved(make_table: MakeTable) -> None:
    tables = {str(seed): make_table(random_seed=seed) for seed in range(3)}
    summary = compare_workloads(tables)
    figure = performance_profiles(summary)
    assert len(figure.values("panel")) == 3  # trials, gradient evaluations, the fastest trial
    for optimizer in summary.optimizers:
        solved = [n for n in optimizer.trials_to_target.values() if n is not None]
        for panel in figure.values("panel"):
            own = figure.where(optimizer=optimizer.optimizer, panel=panel)
            shares = [record["share"] for record in own]
            assert shares == sorted(shares)  # type: ignore[type-var]
            assert float(shares[-1] or 0) <= len(solved) / 3 + 1e-12
    assert export_figure(figure, "svg").startswith(b"<svg")
