"""Writes answers for programs: JSON, CSV, YAML."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.cli.options import OutputFormat

__all__ = ["write"]


def write(data: Mapping[str, Any] | Sequence[Mapping[str, Any]], output: OutputFormat) -> None:
    """Write one thing or several to standard output.

    Args:
        data: Plain data.
        output: JSON, YAML, or CSV: one row a thing, nested values under dotted names.
    """
    if output is OutputFormat.CSV:
        _write_csv([data] if isinstance(data, Mapping) else data)
    elif output is OutputFormat.YAML:
        import yaml

        yaml.safe_dump(data, sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")


def _write_csv(things: Sequence[Mapping[str, Any]]) -> None:
    rows = [dict(_flat(thing)) for thing in things]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values with dotted names; a list is written as JSON."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, json.dumps(value) if isinstance(value, list) else value
