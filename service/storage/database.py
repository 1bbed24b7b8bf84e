"""Database engine, sessions and migration, on SQLite or PostgreSQL."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, ExceptionContext
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ["DATABASE_UNAVAILABLE", "Database", "SchemaError", "require_known_schema"]

DATABASE_UNAVAILABLE = (
    exc.InterfaceError,
    exc.InternalError,
    exc.OperationalError,
    exc.TimeoutError,  # every connection is in use
)
"""Errors of a database that does not answer, is read-only, is too slow or refuses its user."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS = 10_000
_BUSY_PAUSE_SECONDS = 0.02
_LOCK_TIMEOUT_MS = 10_000
_STATEMENT_TIMEOUT_MS = 30_000
_IDLE_TIMEOUT_MS = 15_000
"""PostgreSQL aborts the transaction of a suspended process, which releases its locks."""
_CONNECT_TIMEOUT_SECONDS = 5
_POSTGRESQL_OPTIONS = {
    "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A server that disappears is detected within half a minute; see libpq's parameters."""
_MIGRATION_LOCK = 0x736173616D
"""Key of the advisory lock of migrations: "sasam" in ASCII."""
_INSUFFICIENT_PRIVILEGE = "42501"
"""SQLSTATE of a missing privilege; see PostgreSQL's appendix of error codes."""
_READ_ONLY: dict[str, dict[str, Any]] = {
    "sqlite": {"read_only": True},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
"""Options of a connection that reads a snapshot."""


class SchemaError(RuntimeError):
    """A newer version of the service wrote the database."""


class Database:
    """Engine and sessions of one database.

    Args:
        url: SQLAlchemy URL; ``sqlite:///path`` or ``postgresql+psycopg://...``.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = _create_engine(url)
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        self._reader = self.engine.execution_options(**_READ_ONLY[self.url.get_backend_name()])
        self._reading = sessionmaker(self._reader, expire_on_commit=False)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A read-only session on one snapshot, which blocks no writer."""
        with self._reading.begin() as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end, and rolls back on an error."""
        with self._writing.begin() as session:
            yield session

    def migrate(self, revision: str = "head") -> None:
        """Upgrade the schema to this version; concurrent callers wait for the first one.

        Args:
            revision: The revision to upgrade to; an earlier one for data of an earlier version.

        Raises:
            SchemaError: The schema is of a newer version.
        """
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            _make_private(Path(self.url.database))
        with self.engine.begin() as connection:
            _begin_migration(connection)
            self.upgrade(connection, revision)

    @contextmanager
    def restoring(self) -> Iterator[Connection]:
        """A connection for filling an empty database, schema and rows, in one transaction."""
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            _make_private(Path(self.url.database))
        with self.engine.begin() as connection:
            _begin_migration(connection)
            yield connection

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Upgrade the schema to a revision within the transaction of a connection.

        Raises:
            SchemaError: The schema is of a newer version.
        """
        config = _migrations()
        _require_known(connection, config)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: It does not.
        """
        with self._reader.connect() as connection:
            connection.execute(text("select 1"))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def require_known_schema(url: str) -> None:
    """Check that no newer version wrote a database; one that does not exist passes.

    Raises:
        SchemaError: The schema is of a newer version.
    """
    database = Database(url)
    path = database.url.database
    if database.url.get_backend_name() == "sqlite" and not (path and Path(path).exists()):
        return
    try:
        with database.engine.connect() as connection:
            _require_known(connection, _migrations())
    finally:
        database.close()


def _make_private(path: Path) -> None:
    """Restrict a SQLite file to its owner, and its ``-wal`` and ``-shm``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with suppress(FileNotFoundError, PermissionError):  # closed, or owned by another user
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & 0o077:
                file.chmod(mode & ~0o077)


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _require_known(connection: Connection, config: Config) -> None:
    """Refuse a schema whose revision this version does not know."""
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise SchemaError(
            f"the database is at revision {current}, which this version does not know; "
            "run the version that wrote it, or a newer one"
        )


def _create_engine(url: str) -> Engine:
    """Create an engine that is set up for concurrent writers."""
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=_CONNECT_TIMEOUT_SECONDS,
            connect_args=_POSTGRESQL_OPTIONS,
        )
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "checkin", _forget_read_only)
        event.listen(engine, "handle_error", _classify_refusal, retval=True)
        return engine
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    """Begin a writing transaction with its lock: upgrading a read lock could deadlock."""
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _begin_migration(connection: Connection) -> None:
    """Wait without a timeout for other migrations; SQLite has one writer at a time anyway."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("set local statement_timeout = 0")
        connection.exec_driver_sql("set local lock_timeout = 0")
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({_MIGRATION_LOCK})")
        connection.exec_driver_sql(f"set local lock_timeout = {_LOCK_TIMEOUT_MS}")


def _classify_refusal(context: ExceptionContext) -> exc.OperationalError | None:
    """Report a missing privilege as an unavailable database, not as a wrong statement."""
    error = context.original_exception
    if getattr(error, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
        return None
    return exc.OperationalError(context.statement, context.parameters, error)


def _prepare_postgresql(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """Set timeouts of statements, of locks, and of idle transactions."""
    cursor = connection.cursor()
    cursor.execute(f"set statement_timeout = {_STATEMENT_TIMEOUT_MS}")
    cursor.execute(f"set lock_timeout = {_LOCK_TIMEOUT_MS}")
    cursor.execute(f"set idle_in_transaction_session_timeout = {_IDLE_TIMEOUT_MS}")
    cursor.close()
    connection.commit()


def _forget_read_only(connection: DBAPIConnection | None, _record: ConnectionPoolEntry) -> None:
    """Leave the access mode of the next transaction to the server.

    After a snapshot SQLAlchemy sets it to READ WRITE, which would override a database that an
    administrator made read-only.
    """
    if connection is not None:
        raw: Any = connection
        raw.read_only = None


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """Set WAL, a busy timeout and foreign keys; the driver leaves BEGIN to ``_begin_sqlite``."""
    raw: Any = connection
    raw.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "foreign_keys = ON",
        "synchronous = NORMAL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    _enter_wal(cursor)
    cursor.close()


def _enter_wal(cursor: DBAPICursor) -> None:
    """Turn WAL on, which the file keeps; wait while another connection does the same.

    SQLite itself does not wait for the lock of this change, whatever the busy timeout.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_SECONDS)
        else:
            return
