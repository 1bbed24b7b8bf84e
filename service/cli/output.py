"""Output of commands: escaped text, and data as JSON, CSV or YAML.

Names, reasons, logs and tracebacks come from other users and from plugins. Their control characters
are escaped here and in ``console.console``; commands write to a terminal in no other way.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TextIO

import typer

from workers.characters import escape_controls, replace_controls

__all__ = ["OutputFormat", "as_json", "echo", "write"]


class OutputFormat(StrEnum):
    """Format of a command's output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    YAML = "yaml"


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Write text to standard output or error with its control characters escaped.

    Args:
        text: The text; tabs and line breaks are kept.
        err: Write to standard error.
        nl: End with a line break.
    """
    typer.echo(escape_controls(str(text)), err=err, nl=nl)


def write(data: Mapping[str, Any] | Sequence[Mapping[str, Any]], output: OutputFormat) -> None:
    """Write one record or several to standard output.

    Args:
        data: A mapping, or a sequence of mappings, of plain values.
        output: JSON, YAML or CSV. CSV has one row per record; nested values have dotted names.
    """
    file = io.StringIO()
    if output is OutputFormat.CSV:
        _write_csv([data] if isinstance(data, Mapping) else data, file)
    elif output is OutputFormat.YAML:
        import yaml

        yaml.safe_dump(data, file, sort_keys=False, allow_unicode=True)
    else:
        file.write(as_json(data, indent=2) + "\n")
    text = file.getvalue()
    sys.stdout.write(escape_controls(text) if sys.stdout.isatty() else text)


def as_json(data: Any, *, indent: int | None = None) -> str:
    """Encode data as JSON; control characters become JSON escapes, which changes no value."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return replace_controls(text, _json_escape)


def _json_escape(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def _write_csv(records: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    rows = [dict(_flatten(record)) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flatten(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield values with dotted names; a list is encoded as JSON."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, json.dumps(value) if isinstance(value, list) else value
