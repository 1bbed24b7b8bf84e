"""A database and a sweep service on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from service.storage import Database
from service.sweeps.service import SweepService


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A SQLite file with this version's tables."""
    database = Database(f"sqlite:///{tmp_path / 'sasam.db'}")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def sweeps(database: Database, tmp_path: Path) -> SweepService:
    """The service on that database."""
    return SweepService(database, Settings(home=tmp_path))
