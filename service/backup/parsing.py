"""Checks each line of a backup against the column types of its table, before it is inserted.

SQLite stores anything in any column and a constraint's own message names no line, so a damaged
backup would be found when the service reads it, if at all.
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

_MOST_SHOWN = 60
_INTEGERS = {"BIGINT": 64, "SMALLINT": 16}
_CHOICES: Mapping[tuple[str, str], type[StrEnum]] = {
    ("sweeps", "state"): SweepState,
    ("tokens", "role"): Role,
}
"""Columns that hold one of a few words."""


def parse_row(table: Table, number: int, line: bytes) -> dict[str, Any]:
    """The row that a line of JSON describes.

    Args:
        table: As the database describes it.
        number: Of the line, from 1.
        line: An object with a value for each column.

    Raises:
        BackupError: It is no such row; the message says where, what was got and what is allowed.
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
    """The value of a column as the database takes it."""
    if value is None and column.nullable:
        return None
    allowed = _allowed(column)
    try:
        is_right = value is not None and _is_right(column, value)
        if is_right and isinstance(column.type, DateTime):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment
            is_right = False
    except ValueError:
        is_right = False
    if not is_right:
        raise BackupError(f"{place}: column {column.name!r} must be {allowed}, got {_shown(value)}")
    return value


def _is_right(column: Column[Any], value: Any) -> bool:
    """Whether a value that is not null has the column's type."""
    kind, choices = column.type, _CHOICES.get((column.table.name, column.name))
    if choices is not None:
        return isinstance(value, str) and value in list(choices)
    if isinstance(kind, JSON):
        return isinstance(value, dict)
    if isinstance(kind, Boolean):
        return isinstance(value, bool)
    if isinstance(kind, Integer):
        bits = _INTEGERS.get(str(kind), 32)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    if isinstance(kind, (Float, Numeric)):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    is_text = isinstance(value, str) and "\0" not in value
    most = kind.length if isinstance(kind, String) else None
    return is_text and (most is None or len(value) <= most)


def _allowed(column: Column[Any]) -> str:
    """What a column may hold, for messages."""
    kind, choices = column.type, _CHOICES.get((column.table.name, column.name))
    if choices is not None:
        return f"one of {', '.join(choices)}"
    names = {
        JSON: "a JSON object",
        Boolean: "true or false",
        DateTime: "a time with its zone, such as 2026-01-01T00:00:00+00:00",
        Integer: f"a whole number of {_INTEGERS.get(str(kind), 32)} bits",
        Float: "a number",
        Numeric: "a number",
    }
    text = next((name for known, name in names.items() if isinstance(kind, known)), None)
    if text is None:
        most = kind.length if isinstance(kind, String) else None
        text = "text without a zero byte" + (f" of at most {most} characters" if most else "")
    return f"{text} or null" if column.nullable else text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
