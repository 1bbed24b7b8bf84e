"""Validation of the lines of a backup against the column types of their table.

SQLite stores any value in any column, and the message of a violated constraint names no line.
Without this check a damaged backup would be noticed only when the service reads it, if at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Boolean, Column, DateTime, Float, Integer, Numeric, String, Table

from service.backup.errors import BackupError
from service.security.access import Role
from service.states import SweepState

__all__ = ["parse_row"]

_MAX_SHOWN = 60
_INTEGER_BITS = {"BIGINT": 64, "SMALLINT": 16}
_CHOICES: Mapping[tuple[str, str], type[StrEnum]] = {
    ("sweeps", "state"): SweepState,
    ("tokens", "role"): Role,
}
"""Columns with a fixed set of values."""


def parse_row(table: Table, number: int, line: bytes) -> dict[str, Any]:
    """Parse a line of JSON into a row.

    Args:
        table: The table, as reflected from the database.
        number: Number of the line, from 1.
        line: A JSON object with a value for each column.

    Raises:
        BackupError: The line is not a valid row; the message gives the place, the value and what
            is allowed.
    """
    place = f"tables/{table.name}.jsonl, line {number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BackupError(
            f"{place}: must be a JSON object, got {_shown(line)} ({error})"
        ) from error
    if not isinstance(row, dict):
        raise BackupError(f"{place}: must be a JSON object, got {_shown(row)}")
    known = {column.name for column in table.columns}
    for kind, names in (("unknown", row.keys() - known), ("missing", known - row.keys())):
        if names:
            raise BackupError(
                f"{place}: column {_shown(min(names))} is {kind}; the columns are "
                f"{', '.join(sorted(known))}"
            )
    return {column.name: _value(column, row[column.name], place) for column in table.columns}


def _value(column: Column[Any], value: Any, place: str) -> Any:
    """Convert the JSON value of a column to the type that the database driver needs."""
    if value is None and column.nullable:
        return None
    allowed = _allowed(column)
    try:
        is_valid = value is not None and _is_valid(column, value)
        if is_valid and isinstance(column.type, DateTime):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment
            is_valid = False
    except ValueError:
        is_valid = False
    if not is_valid:
        raise BackupError(f"{place}: column {column.name!r} must be {allowed}, got {_shown(value)}")
    return value


def _is_valid(column: Column[Any], value: Any) -> bool:
    """Whether a value other than null has the type of the column."""
    kind, choices = column.type, _CHOICES.get((column.table.name, column.name))
    if choices is not None:
        return isinstance(value, str) and value in list(choices)
    if isinstance(kind, JSON):
        return isinstance(value, dict)
    if isinstance(kind, Boolean):
        return isinstance(value, bool)
    if isinstance(kind, Integer):
        bits = _INTEGER_BITS.get(str(kind), 32)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    if isinstance(kind, (Float, Numeric)):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    is_text = isinstance(value, str) and "\0" not in value
    max_length = kind.length if isinstance(kind, String) else None
    return is_text and (max_length is None or len(value) <= max_length)


def _allowed(column: Column[Any]) -> str:
    """The values that a column allows, for messages."""
    kind, choices = column.type, _CHOICES.get((column.table.name, column.name))
    if choices is not None:
        return f"one of {', '.join(choices)}"
    names = {
        JSON: "a JSON object",
        Boolean: "true or false",
        DateTime: "a time with its zone, such as 2026-01-01T00:00:00+00:00",
        Integer: f"a whole number of {_INTEGER_BITS.get(str(kind), 32)} bits",
        Float: "a number",
        Numeric: "a number",
    }
    text = next((name for known, name in names.items() if isinstance(kind, known)), None)
    if text is None:
        max_length = kind.length if isinstance(kind, String) else None
        text = "text without a zero byte" + (
            f" of at most {max_length} characters" if max_length else ""
        )
    return f"{text} or null" if column.nullable else text


def _shown(value: Any) -> str:
    """A value for messages, shortened."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
