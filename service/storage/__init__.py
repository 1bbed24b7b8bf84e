"""Tables, sessions and migrations."""

from service.storage.database import DATABASE_AWAY, Database, SchemaError, require_known_schema
from service.storage.tables import DriverLogRow, EventRow, LeaseRow, SweepRow, TrialRow

__all__ = [
    "DATABASE_AWAY",
    "Database",
    "DriverLogRow",
    "EventRow",
    "LeaseRow",
    "SchemaError",
    "SweepRow",
    "TrialRow",
    "require_known_schema",
]
