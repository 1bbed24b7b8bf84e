"""Tables, sessions and migrations."""

from service.storage.database import Database, SchemaError
from service.storage.tables import SweepRow, TrialRow

__all__ = ["Database", "SchemaError", "SweepRow", "TrialRow"]
