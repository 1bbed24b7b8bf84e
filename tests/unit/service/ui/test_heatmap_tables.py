"""Cells of heatmaps as HTML tables."""

from __future__ import annotations

from typing import Any

import pytest

from service.sensitivity import Axis
from service.sensitivity.figures.heatmap_plane import Plane
from service.storage import TrialRow
from service.summaries.loading import axes_of
from service.ui.heatmap_tables import (
    N_SHADES,
    MetricChoice,
    heatmap_tables,
    metric_choices,
    shade_class,
)
from service.ui.heatmap_view import HeatmapView, axis_selectors, choose_view_plane
from workers.scores import SCORES
from workers.spec import SweepSpec, load_spec

SPECIFICATION = """
name: grid
dataset: digits
model: cnn-tiny
optimizers: [sa-sam, {name: sam, rho: 0.1, label: small}]
search: {learning_rate: [0.1, 0.01], weight_decay: [0, 1.0e-4]}
"""


@pytest.mark.parametrize(
    ("shade", "css"), [(0.0, "v0"), (0.5, "v12"), (0.999, "v23"), (1.0, f"v{N_SHADES - 1}")]
)
def test_shade_class_divides_the_scale_evenly(shade: float, css: str) -> None:
    assert shade_class("v", shade) == css


def plane_of(specification: SweepSpec, **options: Any) -> Plane:
    axes = [axes_of(specification, label) for label in specification.labels]
    plane = choose_view_plane(axes, HeatmapView(**options))
    assert plane is not None
    return plane


def test_heatmap_before_any_result_has_every_cell_of_the_grid() -> None:
    running = [
        TrialRow(
            optimizer="small",
            hyperparameters={"learning_rate": 0.01, "weight_decay": 0.0},
            seed=seed,
        )
        for seed in (0, 1)
    ]
    (choice,) = metric_choices(None, SCORES["accuracy"])
    specification = load_spec(SPECIFICATION)
    tables = heatmap_tables(specification, plane_of(specification), None, choice, running)
    assert (tables.x_title, tables.y_title) == ("learning rate", "weight decay")
    assert list(tables.columns) == ["0.01", "0.1"]
    assert [panel.title for panel in tables.panels] == ["SA-SAM", "small"]
    assert [label for label, _ in tables.panels[0].rows] == ["1e-4", "0"]
    cells = [cell for panel in tables.panels for _, row in panel.rows for cell in row]
    assert [cell.label for cell in cells].count("–") == 7
    (busy,) = [cell for cell in cells if "busy" in cell.css]
    assert busy.label == "…"
    assert busy.css == "missing busy"
    assert busy.query == "optimizer=small&learning_rate=0.01&weight_decay=0.0"
    assert busy.description == (
        "small, learning rate 0.01, weight decay 0: no result yet, 2 running"
    )


AXES = [
    Axis.of("learning_rate", [0.1, 0.01]),
    Axis.of("weight_decay", [0.0, 1e-4]),
    Axis.of("optimizer.momentum", [0.0, 0.9]),
    Axis.of("optimizer.betas", [[0.9, 0.95], [0.9, 0.99]]),
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("learning_rate", "weight_decay", {})),
        ({"x": "optimizer.momentum"}, ("optimizer.momentum", "weight_decay", {})),
        ({"x": "learning_rate", "y": "learning_rate"}, ("learning_rate", "weight_decay", {})),
        ({"x": "nothing", "rest": "worst"}, ("learning_rate", "weight_decay", {})),
        (
            {"at": ["optimizer.betas=[0.9, 0.99]", "learning_rate=0.1", "x", ""]},
            ("learning_rate", "weight_decay", {"optimizer.betas": (0.9, 0.99)}),
        ),
    ],
)
def test_choose_view_plane_ignores_what_does_not_exist(
    options: dict[str, Any], expected: tuple[str, str, dict[str, Any]]
) -> None:
    plane = choose_view_plane([AXES], HeatmapView(**options))
    assert plane is not None
    assert (plane.x.name, plane.y.name, plane.fixed) == expected


def test_choose_view_plane_needs_two_axes() -> None:
    assert choose_view_plane([AXES[:1]], HeatmapView()) is None


def test_selectors_offer_the_axes_and_the_values_of_the_others() -> None:
    view = HeatmapView(at=["optimizer.betas=[0.9,0.99]"])
    plane = choose_view_plane([AXES], view)
    assert plane is not None
    found = axis_selectors(AXES, plane)
    assert [selector.label for selector in found] == [
        *("Horizontal", "Vertical", "Others"),
        *("Momentum", "Betas"),
    ]
    betas = found[-1]
    assert betas.options == {
        "": "any",
        "optimizer.betas=[0.9, 0.95]": "[0.9, 0.95]",
        "optimizer.betas=[0.9, 0.99]": "[0.9, 0.99]",
    }
    assert betas.selected == "optimizer.betas=[0.9, 0.99]"
    two = choose_view_plane([AXES[:2]], HeatmapView())
    assert two is not None
    assert axis_selectors(AXES[:2], two) == []


def test_view_query_keeps_the_axes_when_the_metric_changes() -> None:
    view = HeatmapView(metric="val_accuracy", x="optimizer.momentum", at=["weight_decay=0"])
    choice = MetricChoice("hessian_trace", "ood", "Tr(H), OOD")
    assert view.query(choice) == (
        "metric=hessian_trace&split=ood&x=optimizer.momentum&at=weight_decay%3D0"
    )
