"""Tables, sessions and migrations."""

from service.storage.database import Database, SchemaError
from service.storage.tables import DriverLogRow, EventRow, LeaseRow, SweepRow, TrialRow

__all__ = [
    "Database",
    "DriverLogRow",
    "EventRow",
    "LeaseRow",
    "SchemaError",
    "SweepRow",
    "TrialRow",
]
