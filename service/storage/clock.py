"""SQL function for the database's clock, which all services on one database share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["DatabaseClock"]

_UNIX_EPOCH_JULIAN_DAY = 2440587.5


class DatabaseClock(FunctionElement[float]):
    """Seconds since 1970 when the statement runs, not when its transaction began."""

    type = Double()
    inherit_cache = True


@compiles(DatabaseClock, "sqlite")
def _on_sqlite(_element: DatabaseClock, _compiler: SQLCompiler, **_: Any) -> str:
    return f"((julianday('now') - {_UNIX_EPOCH_JULIAN_DAY}) * 86400.0)"


@compiles(DatabaseClock, "postgresql")
def _on_postgresql(_element: DatabaseClock, _compiler: SQLCompiler, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"
