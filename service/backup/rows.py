"""The service's tables as lines of JSON, the same from SQLite and from PostgreSQL.

Tables are described by the database itself, so that what an earlier version wrote can be read back
at that version's schema and brought up to date by the migrations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from service.backup.errors import BackupError
from service.backup.parsing import parse_row
from service.first_line import first_line

__all__ = ["read_rows", "tables", "write_rows"]

_LEFT_OUT = frozenset({"alembic_version", "leases", "sessions"})
"""What belongs to a running service: its lease, and logins of the page."""
_BATCH_ROWS = 1_000


def tables(connection: Connection) -> list[Table]:
    """The tables whose rows a backup holds, each after those it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)  # null is no value, not the value `null`
    return [table for table in metadata.sorted_tables if table.name not in _LEFT_OUT]


def read_rows(connection: Connection, table: Table) -> Iterator[str]:
    """Each row as a line of JSON, in the order of the primary key."""
    query = select(table).order_by(*table.primary_key.columns)
    streamed = connection.execution_options(yield_per=_BATCH_ROWS).execute(query)
    for row in streamed:
        plain = {name: _plain(value) for name, value in row._mapping.items()}
        yield json.dumps(plain, allow_nan=False) + "\n"


def write_rows(connection: Connection, table: Table, lines: Iterable[bytes]) -> int:
    """Insert the rows that lines describe; returns how many.

    Raises:
        BackupError: A line is not a row of this table; the message names it and its column.
    """
    rows = (parse_row(table, number, line) for number, line in enumerate(lines, start=1))
    count = 0
    while batch := list(islice(rows, _BATCH_ROWS)):
        try:
            connection.execute(insert(table), batch)
        except (IntegrityError, DataError) as error:
            place = f"tables/{table.name}.jsonl, lines {count + 1} to {count + len(batch)}"
            raise BackupError(f"{place}: the database refuses a row: {_reason(error)}") from error
        count += len(batch)
    _continue_numbers(connection, table)
    return count


def _reason(error: DBAPIError) -> str:
    """What the database says, in one line."""
    return first_line(error.orig or error)


def _plain(value: Any) -> Any:
    """A value that JSON has; SQLite forgets the zone of a time, which is UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value


def _continue_numbers(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after those that were inserted with their numbers."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        if isinstance(column.type, Integer) and len(table.primary_key.columns) == 1:
            last = connection.scalar(select(func.max(column)))
            if last is not None:
                connection.execute(
                    text("select setval(pg_get_serial_sequence(:name, :column), :last)"),
                    {"name": table.name, "column": column.name, "last": last},
                )
