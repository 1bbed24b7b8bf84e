"""The order of a list of trials, from its query."""

from __future__ import annotations

import pytest

from service.trials.selection import TrialOrder
from service.ui.trial_list_page import _order
from workers.spec import validate_spec


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-seed", TrialOrder("column", "seed", is_descending=True)),
        ("hessian_trace.ood", TrialOrder("metric", "hessian_trace.ood")),
        ("optimizer.momentum", TrialOrder("number", "optimizer.momentum")),
        # As a number, "true" would be an error of PostgreSQL.
        ("optimizer.nesterov", TrialOrder("text", "optimizer.nesterov")),
        ("training.epochs", None),
        ("", None),
    ],
)
def test_order_is_by_values_of_one_kind(sort: str, expected: TrialOrder | None) -> None:
    search = {
        "learning_rate": [0.1],
        "optimizer.momentum": [0.5, 0.9],
        "optimizer.nesterov": [False, True],
    }
    plain = {"name": "s", "dataset": "digits", "model": "cnn-tiny", "optimizers": ["msgd"]}
    specification = validate_spec({**plain, "search": search})
    axes: dict[str, dict[str, str]] = {name: {} for name in search}
    assert _order(sort, axes, specification) == expected
