"""PostgreSQL servers that refuse, hang, or close connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import InternalError, ProgrammingError

import service.storage.database
from service.execution.lease import Lease
from service.execution.reconciler import Reconciler
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.settings import Settings
from service.storage import DATABASE_UNAVAILABLE, Database, SweepRow

Administer = Callable[[str], None]
ROLE = "limited"


@pytest.fixture
def administer(postgresql: str) -> Iterator[Administer]:
    """Execute a statement as the superuser, in a database with this version's tables."""
    database = Database(postgresql)
    database.migrate()
    database.close()
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")

    def execute(statement: str) -> None:
        with engine.connect() as connection:
            connection.execute(text(statement))

    yield execute
    engine.dispose()


@pytest.fixture
def role_url(postgresql: str, administer: Administer) -> Iterator[str]:
    """The database for a role that may read and write its tables, no more."""
    administer(f"create role {ROLE} login")
    grant(administer)
    yield make_url(postgresql).set(username=ROLE).render_as_string(hide_password=False)
    administer(f"drop owned by {ROLE}; drop role {ROLE}")


@pytest.fixture
def database(role_url: str) -> Iterator[Database]:
    database = Database(role_url)
    yield database
    database.close()


def grant(administer: Administer) -> None:
    administer(f"grant usage on schema public to {ROLE}")
    administer(f"grant all on all tables in schema public to {ROLE}")


def revoke(administer: Administer) -> None:
    administer(f"revoke all on all tables in schema public from {ROLE}")


def read(database: Database) -> None:
    with database.snapshot() as session:
        session.query(SweepRow).count()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_connection_that_read_a_snapshot_obeys_a_read_only_database(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("set default_transaction_read_only = on"))
    for _ in range(2):  # the pool hands out the same connection
        read(database)
        with (
            pytest.raises(InternalError, match="read-only"),
            database.transaction() as session,
        ):
            session.execute(text("delete from sweeps"))


def test_database_that_refuses_its_user_is_unavailable_until_it_does_not(
    database: Database, administer: Administer
) -> None:
    read(database)
    revoke(administer)
    for _ in range(2):
        with pytest.raises(DATABASE_UNAVAILABLE, match="permission denied for table sweeps"):
            read(database)
    grant(administer)
    read(database)


def test_wrong_statement_is_not_an_unavailable_database(database: Database) -> None:
    with database.snapshot() as session, pytest.raises(ProgrammingError):
        session.execute(text("select nothing from nowhere"))


def test_service_without_privileges_answers_503_until_it_has_them(
    role_url: str,
    administer: Administer,
    tmp_path: Path,
    start_service: Callable[..., AbstractContextManager[Any]],
) -> None:
    with start_service(tmp_path, database_url=role_url) as started:
        address = f"{started.url}/api/v1/sweeps"
        assert httpx.get(address).status_code == 200
        revoke(administer)
        refused = httpx.get(address)
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("the database does not answer at SASAM_DATA")
        grant(administer)
        assert httpx.get(address).status_code == 200


@pytest.mark.parametrize("fault", ["revoke", "hang up"])
def test_reconciler_waits_for_the_database_in_one_line(
    fault: str,
    database: Database,
    administer: Administer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    passes: list[bool] = []
    with reconciling(database, tmp_path, passes):
        wait_until(lambda: False in passes)
        if fault == "revoke":
            revoke(administer)
            wait_until(lambda: "the database does not answer" in caplog.text)
            grant(administer)
        else:
            hang_up(administer)
        passes.clear()
        wait_until(lambda: False in passes)
    assert [record for record in caplog.records if record.exc_info] == []
    assert all("\n" not in record.getMessage() for record in caplog.records)


@contextmanager
def reconciling(database: Database, home: Path, passes: list[bool]) -> Iterator[None]:
    """A reconciler that leads, quickly; ``passes`` gets whether each pass failed."""
    settings = Settings(home=home, reconcile_seconds=0.01)
    reconciler = Reconciler(
        database,
        RayJobs(settings),
        MlflowGateway(str(settings.mlflow_tracking_uri)),
        settings,
        Lease(database, seconds=60),
        on_pass=lambda _seconds, failed: passes.append(failed),
    )
    reconciler.start()
    try:
        yield
    finally:
        reconciler.stop()


def hang_up(administer: Administer) -> None:
    administer(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where pid <> pg_backend_pid() and datname = current_database()"
    )


def test_connection_that_the_server_closed_while_idle_is_replaced(
    database: Database, administer: Administer
) -> None:
    read(database)
    hang_up(administer)
    read(database)


def test_statement_that_takes_too_long_is_given_up_and_the_next_one_works(
    role_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.storage.database, "_STATEMENT_TIMEOUT_MS", 200)
    database = Database(role_url)
    started = time.monotonic()
    with (
        database.snapshot() as session,
        pytest.raises(DATABASE_UNAVAILABLE, match="statement timeout"),
    ):
        session.execute(text("select pg_sleep(60)"))
    assert time.monotonic() - started < 30
    read(database)
    database.close()


def test_statement_that_waits_for_a_lock_is_given_up_and_works_when_it_is_free(
    role_url: str, administer: Administer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.storage.database, "_LOCK_TIMEOUT_MS", 200)
    database, other = Database(role_url), create_engine(make_url(role_url).set(username="postgres"))
    with other.begin() as connection:
        connection.execute(text("lock table sweeps"))
        started = time.monotonic()
        with pytest.raises(DATABASE_UNAVAILABLE, match="lock timeout"):
            read(database)
        assert time.monotonic() - started < 30
    read(database)
    database.close()
    other.dispose()


def test_migration_takes_as_long_as_it_takes(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.storage.database, "_STATEMENT_TIMEOUT_MS", 200)
    monkeypatch.setattr(service.storage.database, "_LOCK_TIMEOUT_MS", 200)
    database, other = Database(postgresql), create_engine(postgresql)
    key = service.storage.database._MIGRATION_LOCK
    waiter = Thread(target=database.migrate)
    with other.begin() as connection:
        connection.execute(text(f"select pg_advisory_xact_lock({key})"))
        waiter.start()
        connection.execute(text("select pg_sleep(1)"))  # another service migrates, slowly
    waiter.join()
    read(database)
    with database.snapshot() as session:
        assert session.scalar(text("show statement_timeout")) == "200ms"
        assert session.scalar(text("show lock_timeout")) == "200ms"
    database.close()
    other.dispose()


def test_server_that_went_without_a_word_is_noticed(role_url: str) -> None:
    database = Database(role_url)
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        said = driver.info.get_parameters()
    database.close()
    silence = int(said["keepalives_idle"])
    silence += int(said["keepalives_interval"]) * int(said["keepalives_count"])
    assert silence <= 30
    assert int(said["tcp_user_timeout"]) <= 30_000
