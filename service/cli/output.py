"""Writes to the terminal: text that others wrote, and answers for programs (JSON, CSV, YAML).

Names, reasons, logs and tracebacks come from other users and from plugins. Their control characters
are escaped here and in `rendering.console`, the two ways to the terminal.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import typer

from service.cli.options import OutputFormat
from workers.characters import escape_controls, replace_controls

__all__ = ["as_json", "echo", "write"]


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Write text to standard output or error, with its control characters escaped.

    Args:
        text: What to write; tabs and line breaks stay.
        err: Write to standard error.
        nl: End with a line break.
    """
    typer.echo(escape_controls(str(text)), err=err, nl=nl)


def write(data: Mapping[str, Any] | Sequence[Mapping[str, Any]], output: OutputFormat) -> None:
    """Write one thing or several to standard output.

    Args:
        data: Plain data.
        output: JSON, YAML, or CSV: one row a thing, nested values under dotted names.
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
    """JSON with its control characters as JSON escapes, which changes no value."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return replace_controls(text, _json_escape)


def _json_escape(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def _write_csv(things: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    rows = [dict(_flat(thing)) for thing in things]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values with dotted names; a list is written as JSON."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, json.dumps(value) if isinstance(value, list) else value
