"""Query strings of links between pages."""

from __future__ import annotations

from urllib.parse import urlencode

__all__ = ["configuration_query", "query_string"]


def query_string(**parameters: str | float | None) -> str:
    """Encode query parameters; those that are None or empty are left out."""
    return urlencode({name: value for name, value in parameters.items() if value not in (None, "")})


def configuration_query(optimizer: str, learning_rate: float, weight_decay: float) -> str:
    """The query string that selects the trials of one configuration in the list of trials."""
    return query_string(optimizer=optimizer, learning_rate=learning_rate, weight_decay=weight_decay)
