"""Matrix of the pairs of optimizers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service.sensitivity.pairs_matrix import pairs_matrix

LABELS = ("a", "b", "c")


def summary(*pairs: Any, labels: tuple[str, ...] = LABELS) -> Any:
    optimizers = [SimpleNamespace(optimizer=label, title=label.upper()) for label in labels]
    comparisons = SimpleNamespace(pairs=list(pairs))
    return SimpleNamespace(optimizers=optimizers, comparisons=comparisons, score="accuracy")


def pair(a: str, b: str, difference: float | None, p: float | None = None, **other: Any) -> Any:
    usual = {
        "mean_difference": difference,
        "wilcoxon_p_holm": p,
        "same_space": True,
        "best_difference": 0.0,
        "best_difference_interval": None,
    }
    return SimpleNamespace(a=a, b=b, **usual | other)


def test_cells_are_row_minus_column() -> None:
    interval = SimpleNamespace(low=0.005, high=0.03)
    table = pairs_matrix(
        summary(
            pair("a", "b", 0.012, 0.01),
            pair("a", "c", None),
            pair(
                "b",
                "c",
                0.5,
                same_space=False,
                best_difference=0.02,
                best_difference_interval=interval,
            ),
        )
    )
    assert table is not None
    assert table.columns == ("row − column", "A", "B", "C")
    assert table.rows == (
        ("A", "", "+1.2*", "–"),
        ("B", "-1.2*", "", "+2.0*"),
        ("C", "–", "-2.0*", ""),
    )


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b")])
def test_two_optimizers_need_no_matrix(labels: tuple[str, ...]) -> None:
    assert pairs_matrix(summary(labels=labels)) is None
