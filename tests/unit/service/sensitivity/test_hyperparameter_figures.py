"""Figures over any hyperparameters: heatmaps, curves, parallel coordinates, importance."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from service.sensitivity import (
    FigureData,
    NotAvailableError,
    SummaryError,
    TrialResult,
    TrialTable,
    UnknownNameError,
    compute_figure,
    draw,
    export_figure,
    heatmap,
    heatmap_layouts,
)
from tests.support.vega_lite import require_valid_vega_lite
from workers.metrics import Outcome

RATE, MOMENTUM, BATCH, BETAS = (
    "learning_rate",
    "optimizer.momentum",
    "training.batch_size",
    "optimizer.betas",
)
MSGD: dict[str, tuple[Any, ...]] = {RATE: (0.1, 0.2), MOMENTUM: (0.0, 0.9), BATCH: (32, 64)}
ADAM: dict[str, tuple[Any, ...]] = {RATE: (0.1, 0.2), BETAS: ([0.9, 0.95], [0.9, 0.999])}
ACCURACIES: dict[str, Any] = {
    "MSGD": [[[0.5, 0.5], [0.6, 0.6]], [[0.7, 0.74], [0.8, 0.84]]],
    "Adam": [[0.6, 0.8], [0.4, 0.3]],
}


@pytest.fixture(scope="module")
def table() -> TrialTable:
    """Two optimizers with own hyperparameters and two seeds."""
    rows = [
        TrialResult(
            key=f"{optimizer} {place} {seed}",
            optimizer=optimizer,
            optimizer_name=optimizer.lower(),
            hyperparameters=dict(zip(grid, place, strict=True)),
            seed=seed,
            outcome=Outcome.COMPLETED,
            val_accuracy=float(accuracy) + 0.01 * seed,
            hessian_trace={"validation": 100 * float(accuracy)},
            gradient_evaluations=100.0,
        )
        for optimizer, grid in (("MSGD", MSGD), ("Adam", ADAM))
        for place, accuracy in zip(
            itertools.product(*grid.values()), np.ravel(ACCURACIES[optimizer]), strict=True
        )
        for seed in (0, 1)
    ]
    return TrialTable.from_results(rows, chance_accuracy=0.1, workload="tiny on digits")


def values(figure: FigureData, optimizer: str = "MSGD") -> dict[tuple[Any, Any], Any]:
    return {(r["x"], r["y"]): r["value"] for r in figure.where(optimizer=optimizer)}


def test_heatmap_other_hyperparameters_are_the_best_by_validation(table: TrialTable) -> None:
    figure = heatmap(table, "val_accuracy", x=RATE, y=MOMENTUM)
    assert values(figure) == pytest.approx(
        {(0.1, 0.0): 0.505, (0.1, 0.9): 0.605, (0.2, 0.0): 0.745, (0.2, 0.9): 0.845}
    )
    (record,) = figure.where(optimizer="MSGD", learning_rate=0.2, **{MOMENTUM: 0.9})
    assert record["others"] == "batch size 64"
    assert figure.notes == ["at the validation-best batch size"]
    assert (figure.scales["x_title"], figure.scales["y_title"]) == ("learning rate", "momentum")


def test_heatmap_other_hyperparameters_are_averaged(table: TrialTable) -> None:
    figure = heatmap(table, "val_accuracy", x=RATE, y=MOMENTUM, rest="mean")
    assert values(figure)[0.2, 0.9] == pytest.approx(0.825)
    (record,) = figure.where(optimizer="MSGD", learning_rate=0.2, **{MOMENTUM: 0.9})
    assert (record["n_finished"], record["n_seeds"], record["others"]) == (4, 4, "")
    assert figure.notes == ["mean over batch size"]
    traces = heatmap(table, "hessian_trace", x=RATE, y=MOMENTUM, rest="mean")
    assert values(traces)[0.2, 0.9] == pytest.approx(82)
    assert "median over batch size" in traces.notes


def test_heatmap_other_hyperparameters_are_fixed(table: TrialTable) -> None:
    figure = heatmap(table, "val_accuracy", x=MOMENTUM, y=BATCH, at=["learning_rate=0.1"])
    assert values(figure) == pytest.approx(
        {(0.0, 32): 0.505, (0.0, 64): 0.505, (0.9, 32): 0.605, (0.9, 64): 0.605}
    )
    assert figure.notes == ["at learning rate 0.1"]


@pytest.mark.slow
def test_heatmap_optimizer_without_an_axis_says_so(table: TrialTable) -> None:
    figure = heatmap(table, "val_accuracy", x=RATE, y=MOMENTUM)
    (absent,) = figure.where(optimizer="Adam")
    assert (absent["state"], absent["label"]) == ("absent", "no momentum in its search")
    (layout,) = heatmap_layouts(figure)
    assert [panel.absence for panel in layout.panels] == ["", "no momentum in its search"]
    assert "no momentum in its search" in export_figure(figure, "svg").decode()
    spec = draw(figure)
    require_valid_vega_lite(spec)
    fixed = heatmap(table, "val_accuracy", x=RATE, y=BETAS, at=["optimizer.momentum=0.9"])
    assert [r["state"] for r in fixed.where(optimizer="MSGD")] == ["absent"]
    assert len(fixed.where(optimizer="Adam", state="value")) == 4


def test_heatmap_category_is_its_text(table: TrialTable) -> None:
    figure = heatmap(table, "val_accuracy", x=RATE, y=BETAS)
    assert values(figure, "Adam")[0.1, "[0.9, 0.999]"] == pytest.approx(0.805)
    assert heatmap_layouts(figure)[0].y_values == ("[0.9, 0.999]", "[0.9, 0.95]")
    alone = table.only(["Adam"])
    at = heatmap(alone, "val_accuracy")  # the second axis is the default without weight decay
    assert (at.scales["x_axis"], at.scales["y_axis"]) == (RATE, BETAS)


def test_heatmap_default_axes_are_the_usual_or_the_first_ones(table: TrialTable) -> None:
    scales = heatmap(table, "val_accuracy").scales
    assert (scales["x_axis"], scales["y_axis"]) == (RATE, MOMENTUM)
    scales = heatmap(table, "val_accuracy", x=BATCH).scales
    assert (scales["x_axis"], scales["y_axis"]) == (BATCH, RATE)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            {"x": "optimizer.momentun"},
            "unknown_axis",
            "There is no axis 'optimizer.momentun'; did you mean 'optimizer.momentum'? Possible:"
            " learning_rate, optimizer.momentum, training.batch_size, optimizer.betas.",
        ),
        ({"x": RATE, "y": RATE}, "same_axes", "x and y are both 'learning_rate'."),
        ({"rest": "worst"}, "invalid_rest", "rest cannot be 'worst'. Possible: best, mean."),
        ({"at": ["training.batch_size"]}, "invalid_at", "at cannot be 'training.batch_size'."),
        ({"at": ["learning_rate=0.1"]}, "invalid_at", "at fixes 'learning_rate', which is shown."),
        (
            {"at": ["training.batch_size=48"]},
            "unknown_axis_value",
            "There is no axis value '48' of training.batch_size",
        ),
        ({"x": BATCH, "y": BETAS}, "needs_both_axes", "No optimizer searches both"),
    ],
)
def test_heatmap_wrong_axes_are_refused_with_what_is_possible(
    table: TrialTable, options: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(SummaryError) as caught:
        compute_figure("accuracy-heatmap", table, **options)
    assert caught.value.code == code
    assert str(caught.value).startswith(message)


def test_heatmap_needs_two_axes(table: TrialTable) -> None:
    rows = [TrialResult("t", "MSGD", "msgd", {RATE: 0.1}, 0, Outcome.COMPLETED, val_accuracy=0.5)]
    with pytest.raises(NotAvailableError, match="this search varies 1") as caught:
        heatmap(TrialTable.from_results(rows, chance_accuracy=0.1), "val_accuracy")
    assert caught.value.code == "needs_two_axes"


@pytest.mark.slow
def test_curves_along_any_hyperparameter(table: TrialTable) -> None:
    figure = compute_figure("lr-curves", table, axis=MOMENTUM)
    assert figure.values("title") == ["MSGD"]
    assert figure.values("x") == [0.0, 0.9]
    assert figure.values("value") == pytest.approx([0.745, 0.845])
    assert figure.title == "Validation accuracy by momentum, tiny on digits"
    assert "without this hyperparameter: Adam" in figure.notes
    for axis in (RATE, MOMENTUM, BETAS, BATCH):
        spec = draw(compute_figure("lr-curves", table, axis=axis))
        require_valid_vega_lite(spec)
    with pytest.raises(UnknownNameError, match=r"did you mean 'training\.batch_size'"):
        compute_figure("lr-curves", table, axis="batch_size")


def test_parallel_coordinates_have_a_line_a_configuration(table: TrialTable) -> None:
    figure = compute_figure("parallel-coordinates", table)
    lines = figure.where(kind="line", optimizer="MSGD")
    assert len(lines) == 8 * 4  # three hyperparameters and the score
    best = [(r["axis"], r["label"], r["place"]) for r in lines[-4:]]
    assert best == [
        (RATE, "0.2", 1.0),
        (MOMENTUM, "0.9", 1.0),
        (BATCH, "64", 1.0),
        ("score", "84.5", 1.0),
    ]
    scores = [r["score"] for r in lines[::4]]
    assert scores == sorted(scores)  # type: ignore[type-var]  # the best lies on top
    assert {r["axis"] for r in figure.where(optimizer="Adam")} == {RATE, BETAS, "score"}
    ticks = figure.where(kind="tick", optimizer="Adam", axis=BETAS)
    assert [r["label"] for r in ticks] == ["[0.9, 0.95]", "[0.9, 0.999]"]
    require_valid_vega_lite(draw(figure))


def test_parallel_coordinates_of_a_long_search_thin_the_lines() -> None:
    rows = [
        TrialResult(
            f"t{at}", "MSGD", "msgd", {RATE: 10 ** (-at / 200)}, 0, Outcome.COMPLETED, at / 1000
        )
        for at in range(1, 801)
    ]
    table = TrialTable.from_results(rows, chance_accuracy=0.0, search="random")
    figure = compute_figure("parallel-coordinates", table)
    lines = figure.where(kind="line", axis="score")
    assert len(lines) == 500
    assert (lines[0]["score"], lines[-1]["score"]) == (0.001, 0.8)
    assert "MSGD: 500 configurations, evenly over their ranks" in figure.notes
    ticks = figure.where(kind="tick", axis=RATE)
    assert [r["label"] for r in ticks] == ["1e-4", "6.3e-4", "4e-3", "0.025", "0.16", "0.99"]


def test_importance_has_a_bar_an_axis_with_its_interval(table: TrialTable) -> None:
    figure = compute_figure("importance", table)
    bars = {r["axis"]: r for r in figure.where(optimizer="MSGD")}
    assert bars[RATE]["value"] == pytest.approx(121 / 148)
    assert bars[RATE]["low"] <= bars[RATE]["value"] <= bars[RATE]["high"]  # type: ignore[operator]
    assert (bars[BETAS]["value"], bars[BETAS]["label"]) == (None, "not searched")
    assert bars["interactions"]["value"] == pytest.approx(1 / 148)
    require_valid_vega_lite(draw(figure))
    assert "datum.low" in json.dumps(draw(figure))


def test_importance_undefined_everywhere_is_refused(table: TrialTable) -> None:
    rows = [row for row in table.results() if row.optimizer == "MSGD"]
    holes = [row for row in rows if row.hyperparameters != rows[0].hyperparameters]
    alone = TrialTable.from_results(
        holes, chance_accuracy=0.1, axes={"MSGD": table.optimizer("MSGD").axes}
    )
    with pytest.raises(NotAvailableError, match="without a finished trial") as caught:
        compute_figure("importance", alone)
    assert caught.value.code == "needs_importance"
