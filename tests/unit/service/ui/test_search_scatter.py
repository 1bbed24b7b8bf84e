"""Scatter plot of a random or TPE search."""

from __future__ import annotations

import pytest

from service.trials.repository import BestConfiguration
from service.ui.search_scatter import draw_search_scatter, search_records


@pytest.mark.parametrize(("decay", "scale"), [(0.0, "symlog"), (1e-6, "log")])
def test_search_scatter_draws_the_best_on_top_with_links(decay: float, scale: str) -> None:
    best = [
        BestConfiguration("sam", 0.1, decay, 0.9, 2),
        BestConfiguration("a b", 1, 1e-4, 0.5, 1),
    ]
    records = search_records(best, "/trials")
    assert [record["accuracy"] for record in records] == [0.5, 0.9]
    assert records[0]["trials"] == "/trials?optimizer=a+b&learning_rate=1&weight_decay=0.0001"
    spec = draw_search_scatter(records, ["SAM", "a b"])
    assert spec["spec"]["encoding"]["y"]["scale"]["type"] == scale
    assert spec["facet"]["sort"] == ["SAM", "a b"]


def test_link_keeps_a_weight_decay_of_zero() -> None:
    (record,) = search_records([BestConfiguration("sam", 0.1, 0.0, 0.9, 2)], "/trials")
    assert record["trials"] == "/trials?optimizer=sam&learning_rate=0.1&weight_decay=0.0"
