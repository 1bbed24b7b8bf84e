"""Cells of heatmaps as HTML tables."""

from __future__ import annotations

import pytest

from service.storage import TrialRow
from service.ui.heatmap_tables import N_SHADES, heatmap_tables, metric_choices, shade_class
from workers.spec import load_spec

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


def test_heatmap_before_any_result_has_every_cell_of_the_grid() -> None:
    running = [
        TrialRow(optimizer="small", learning_rate=0.01, weight_decay=0.0, seed=seed)
        for seed in (0, 1)
    ]
    (choice,) = metric_choices(None)
    tables = heatmap_tables(load_spec(SPECIFICATION), None, choice, running)
    assert tables is not None
    assert list(tables.learning_rates) == [0.01, 0.1]
    assert [panel.title for panel in tables.panels] == ["SA-SAM", "small"]
    decays = [decay for decay, _ in tables.panels[0].rows]
    assert decays == [1e-4, 0.0]
    cells = [cell for panel in tables.panels for _, row in panel.rows for cell in row]
    assert [cell.label for cell in cells].count("–") == 7
    (busy,) = [cell for cell in cells if "busy" in cell.css]
    assert busy.label == "…"
    assert busy.css == "missing busy"
    assert busy.query == "optimizer=small&learning_rate=0.01&weight_decay=0.0"
    assert busy.description == (
        "small, learning rate 0.01, weight decay 0: no result yet, 2 running"
    )


def test_search_without_a_grid_has_no_heatmap() -> None:
    text = SPECIFICATION.replace(
        "{learning_rate: [0.1, 0.01], weight_decay: [0, 1.0e-4]}", "{type: random, trials: 4}"
    )
    (choice,) = metric_choices(None)
    assert heatmap_tables(load_spec(text), None, choice, []) is None
