"""Query strings of links between pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

__all__ = ["configuration_query", "query_string"]


def query_string(**parameters: str | float | Sequence[str] | None) -> str:
    """Encode query parameters; a list repeats its name, None and empty ones are left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "", [], ())}
    return urlencode(given, doseq=True)


def configuration_query(optimizer: str, hyperparameters: Mapping[str, Any]) -> str:
    """The query string that selects the trials of a configuration in the list of trials.

    Args:
        optimizer: Label.
        hyperparameters: Values by name; the list filters by learning rate and weight decay.
    """
    names = ("learning_rate", "weight_decay")
    known = {name: hyperparameters[name] for name in names if name in hyperparameters}
    return query_string(optimizer=optimizer, **known)
