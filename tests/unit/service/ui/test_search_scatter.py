"""Scatter plot of a random or TPE search."""

from __future__ import annotations

from typing import Any

import pytest

from service.sensitivity import Axis
from service.sensitivity.figures.heatmap_plane import Plane, choose_plane
from service.trials.repository import BestConfiguration
from service.ui.search_scatter import draw_search_scatter, search_records


def best(optimizer: str, accuracy: float, seeds: int, **hyperparameters: Any) -> BestConfiguration:
    rate, decay = hyperparameters["learning_rate"], hyperparameters.get("weight_decay")
    return BestConfiguration(optimizer, hyperparameters, rate, decay, accuracy, seeds)


def plane(decays: Axis) -> Plane:
    rates = Axis.of("learning_rate", [], scale="log", is_range=True)
    return choose_plane([rates, decays], None, None, "best", ())


@pytest.mark.parametrize(
    ("decays", "kind"),
    [
        (Axis.of("weight_decay", [0.0, 1e-4]), "ordinal"),
        (Axis.of("weight_decay", [], scale="log", is_range=True), "log"),
        (Axis.of("weight_decay", [], scale="linear", is_range=True), "linear"),
    ],
)
def test_search_scatter_draws_the_best_on_top_with_links(decays: Axis, kind: str) -> None:
    configurations = [
        best("sam", 0.9, 2, learning_rate=0.1, weight_decay=0.0),
        best("a b", 0.5, 1, learning_rate=1, weight_decay=1e-4),
    ]
    records = search_records(configurations, plane(decays), "/trials")
    assert [record["value"] for record in records] == [0.5, 0.9]
    assert records[0]["trials"] == "/trials?optimizer=a+b&learning_rate=1&weight_decay=0.0001"
    assert records[1]["configuration"] == "learning rate 0.1, weight decay 0"
    spec = draw_search_scatter(records, plane(decays), ["SAM", "a b"])
    y = spec["spec"]["encoding"]["y"]
    assert kind in (y["type"], y["scale"].get("type"))
    assert spec["facet"]["sort"] == ["SAM", "a b"]


def test_search_scatter_leaves_out_an_optimizer_without_one_of_the_axes() -> None:
    configurations = [
        best("sam", 0.9, 2, learning_rate=0.1, weight_decay=0.0),
        best("prodigy", 0.9, 2, learning_rate=1.0),
    ]
    shown = plane(Axis.of("weight_decay", [0.0, 1e-4]))
    assert [r["title"] for r in search_records(configurations, shown, "/trials")] == ["SAM"]


def test_link_keeps_a_weight_decay_of_zero() -> None:
    shown = plane(Axis.of("weight_decay", [0.0, 1e-4]))
    rows = [best("sam", 0.9, 2, learning_rate=0.1, weight_decay=0.0)]
    (record,) = search_records(rows, shown, "/trials")
    assert record["trials"] == "/trials?optimizer=sam&learning_rate=0.1&weight_decay=0.0"
