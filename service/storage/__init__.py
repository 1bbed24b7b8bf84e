"""Database: tables, sessions and migrations."""

from service.storage.database import (
    DATABASE_UNAVAILABLE,
    Database,
    SchemaError,
    require_known_schema,
)
from service.storage.tables import DriverLogRow, EventRow, LeaseRow, SweepRow, TrialRow

__all__ = [
    "DATABASE_UNAVAILABLE",
    "Database",
    "DriverLogRow",
    "EventRow",
    "LeaseRow",
    "SchemaError",
    "SweepRow",
    "TrialRow",
    "require_known_schema",
]
