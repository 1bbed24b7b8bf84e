"""Rows of the service's tables as lines of JSON, the same for SQLite and PostgreSQL.

The tables are reflected from the database, so that the backup of an earlier version can be restored
into the schema of that version and then migrated.
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

_EXCLUDED = frozenset({"alembic_version", "leases", "sessions"})
"""State of a running service: the leader lease and login sessions."""
_BATCH_ROWS = 1_000


def tables(connection: Connection) -> list[Table]:
    """The tables in a backup, each after the tables that its foreign keys refer to."""
    metadata = MetaData()
    metadata.reflect(connection)
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)  # SQL null instead of the JSON value null
    return [table for table in metadata.sorted_tables if table.name not in _EXCLUDED]


def read_rows(connection: Connection, table: Table) -> Iterator[str]:
    """Yield each row as a line of JSON, in the order of the primary key."""
    query = select(table).order_by(*table.primary_key.columns)
    streamed = connection.execution_options(yield_per=_BATCH_ROWS).execute(query)
    for row in streamed:
        plain = {name: _plain(value) for name, value in row._mapping.items()}
        yield json.dumps(plain, allow_nan=False) + "\n"


def write_rows(connection: Connection, table: Table, lines: Iterable[bytes]) -> int:
    """Insert the rows that the lines describe; return their number.

    Raises:
        BackupError: A line is not a row of this table; the message names the line and the column.
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
    """The message of the database, in one line."""
    return first_line(error.orig or error)


def _plain(value: Any) -> Any:
    """Convert a value to JSON; times without a zone, which SQLite returns, are in UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value


def _continue_numbers(connection: Connection, table: Table) -> None:
    """Set PostgreSQL's sequence of a table to continue after the inserted numbers."""
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
