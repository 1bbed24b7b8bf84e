"""Query strings of links between pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

__all__ = ["condition_text", "configuration_query", "query_string"]


_PARAMETERS = ("learning_rate", "weight_decay")
"""Hyperparameters that have a query parameter of their own."""


def query_string(**parameters: str | float | Sequence[str] | None) -> str:
    """Encode query parameters; a list repeats its name, None and empty ones are left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "", [], ())}
    return urlencode(given, doseq=True)


def condition_text(name: str, value: Any) -> str:
    """A condition on a hyperparameter, as the parameter ``at`` of pages and API takes it."""
    return f"{name}={json.dumps(value)}"


def configuration_query(optimizer: str, hyperparameters: Mapping[str, Any]) -> str:
    """The query string that selects the trials of a configuration in the list of trials.

    Args:
        optimizer: Label.
        hyperparameters: JSON values, or their text, by name.
    """
    usual = {name: hyperparameters[name] for name in _PARAMETERS if name in hyperparameters}
    others = [
        f"{name}={value}" if isinstance(value, str) else condition_text(name, value)
        for name, value in hyperparameters.items()
        if name not in usual
    ]
    return query_string(optimizer=optimizer, **usual, at=others)
