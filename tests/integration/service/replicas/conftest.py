"""Two services, processes of their own, on one PostgreSQL."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from sqlalchemy import create_engine, text

from tests.support.postgresql import PostgresqlServer
from tests.support.replicas import Replica, start_replica
from tests.support.waiting import http_answers


@pytest.fixture(scope="module")
def database_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    url = postgresql_server.create_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture(scope="module")
def replicas(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> Iterator[list[Replica]]:
    """Both services, ready; Ray and MLflow do not answer."""
    homes = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    started = [start_replica(home, database_url) for home in homes]
    try:
        for replica in started:
            replica.wait_until(partial(http_answers, f"{replica.url}/healthz"), seconds=300)
        yield started
    finally:
        for replica in started:
            with suppress(ProcessLookupError):
                replica.signal(signal.SIGCONT)
                replica.signal(signal.SIGTERM)
        for replica in started:
            replica.process.wait(30)


@pytest.fixture
def switch(database_url: str) -> Callable[[str], None]:
    """Make the database read-only (``on``), or not (``off``), for who connects from now on."""

    def make(read_only: str) -> None:
        engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("set default_transaction_read_only = off"))
            name = connection.scalar(text("select current_database()"))
            connection.execute(
                text(f'alter database "{name}" set default_transaction_read_only = {read_only}')
            )
            connection.execute(
                text(
                    "select pg_terminate_backend(pid, 30000) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        engine.dispose()

    return make
