"""Nested fields as flat ones with dotted names, and flat ones as CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["flatten", "write_csv"]


def flatten(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted name: ``{"a": {"b": 1}}`` yields ``("a.b", 1)``; a list is one value."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def write_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as CSV with a header; a missing value or None is an empty field.

    Args:
        rows: Each by column name; the columns are in the order in which they first occur.
    """
    rows = list(rows)
    out = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(out, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
