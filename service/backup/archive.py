"""Backup and restore: one file with everything that cannot be computed again.

    manifest.json        version that wrote it, time, revision of the schema, rows per table
    tables/NAME.jsonl    one consistent snapshot of the service's tables
    mlflow.db            a later snapshot of MLflow's database of the embedded mode
    artifacts/...        MLflow's artifacts of the embedded mode, on request

A restored service reads from MLflow what was recorded after the backup. Checkpoints are not
included: a sweep that was running starts its unfinished trials from the beginning.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from service.backup.errors import BackupError
from service.backup.rows import read_rows, tables, write_rows
from service.embedded.home import occupy
from service.embedded.privacy import restrict
from service.settings import Settings
from service.storage import Database, SweepRow
from workers.unpacking import unpack

__all__ = ["Manifest", "restore_backup", "write_backup"]

_FORMAT = 1
_MANIFEST = "manifest.json"
_MLFLOW = "mlflow.db"
_ARTIFACTS = "artifacts"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content of a backup.

    Attributes:
        format: Version of the layout of the file.
        version: Version of sasam that wrote the backup.
        revision: Revision of the schema of the tables.
        created_at: Time of the backup, in ISO 8601.
        rows: Number of rows by table.
        mlflow: Whether MLflow's database is included.
        artifacts: Whether MLflow's artifacts are included.
    """

    format: int
    version: str
    revision: str
    created_at: str
    rows: dict[str, int]
    mlflow: bool
    artifacts: bool


def write_backup(file: Path, settings: Settings, *, artifacts: bool = False) -> Manifest:
    """Write a backup of a service, which may be running.

    Args:
        file: The file to write, a gzipped tar; it must not exist.
        settings: The service's settings.
        artifacts: Whether to include MLflow's artifacts of the embedded mode.

    Raises:
        BackupError: The file exists, or the database has no tables of a service.
    """
    if file.exists():
        raise BackupError(f"{file} exists; choose a file that does not")
    home = settings.home.expanduser()
    mlflow, files = home / _MLFLOW, home / _ARTIFACTS
    with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".sasam-") as folder:
        part = Path(folder) / "backup.tar.gz"
        part.touch(mode=0o600)
        with tarfile.open(part, "w:gz", compresslevel=6) as archive:
            revision, rows = _add_tables(archive, settings, Path(folder))
            if mlflow.is_file():
                copy = Path(folder) / _MLFLOW
                _copy_sqlite(mlflow, copy)
                archive.add(copy, _MLFLOW)
            if artifacts and files.is_dir():
                archive.add(files, _ARTIFACTS)
            manifest = Manifest(
                format=_FORMAT,
                version=version("sasam"),
                revision=revision,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                rows=rows,
                mlflow=mlflow.is_file(),
                artifacts=artifacts and files.is_dir(),
            )
            described = Path(folder) / _MANIFEST
            described.write_text(json.dumps(asdict(manifest), indent=2))
            archive.add(described, _MANIFEST)
        os.link(part, file)  # atomic, and never replaces another file
    return manifest


def restore_backup(file: Path, settings: Settings) -> Manifest:
    """Restore a backup into an empty home and database, completely or not at all.

    Args:
        file: The backup.
        settings: Settings of the restored service; its home and database must be empty.

    Raises:
        BackupError: The file is damaged or not a backup, a newer version wrote it, or the home or
            the database is not empty.
        HomeError: The home cannot be written, or a supervisor uses it.
    """
    home = settings.home.expanduser()
    with tempfile.TemporaryDirectory(prefix="sasam-") as folder:
        try:
            with tarfile.open(file, "r:gz") as archive:
                unpack(archive, Path(folder))
            manifest = _read_manifest(Path(folder) / _MANIFEST)
        except (OSError, tarfile.TarError, zlib.error, ValueError, EOFError) as error:
            raise BackupError(f"{file} is damaged or not a backup of sasam: {error}") from error
        if manifest.format != _FORMAT:
            raise BackupError(
                f"{file} was written by sasam {manifest.version} in format {manifest.format}; this "
                f"version reads format {_FORMAT}; restore it with sasam {manifest.version}"
            )
        try:
            _require_files(manifest, Path(folder))
            with occupy(home):
                for path in (home / _MLFLOW, home / _ARTIFACTS):
                    if path.exists():
                        raise BackupError(f"{path} exists; restore into an empty SASAM_HOME")
                _restore_tables(file, manifest, settings, Path(folder), home)
        except _DamagedError as error:
            raise BackupError(f"{file} is damaged: {error}; nothing was restored") from error
    return manifest


class _DamagedError(Exception):
    """The content of a backup is invalid; nothing was changed."""


def _read_manifest(path: Path) -> Manifest:
    """Read the manifest of an unpacked backup.

    Raises:
        ValueError: The file is not a manifest.
    """
    text = path.read_text()
    content, names = json.loads(text), [field.name for field in fields(Manifest)]
    if not isinstance(content, dict) or content.keys() - set(names):
        got = repr(sorted(content) if isinstance(content, dict) else content)[:200]
        raise ValueError(f"{_MANIFEST}: must hold {', '.join(names)}, got {got}")
    try:
        return TypeAdapter(Manifest).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        got = repr(first["input"])[:60]
        raise ValueError(f"{_MANIFEST}: {place}: {first['msg']}, got {got}") from error


def _require_files(manifest: Manifest, folder: Path) -> None:
    """Check that the archive has the files that the manifest lists, and no other tables.

    Raises:
        _DamagedError: A file is missing, or a table is not listed.
    """
    for name, path, is_listed in (
        ("MLflow's database", folder / _MLFLOW, manifest.mlflow),
        ("MLflow's artifacts", folder / _ARTIFACTS, manifest.artifacts),
    ):
        if is_listed and not path.exists():
            raise _DamagedError(f"{_MANIFEST} lists {name}, but {path.name} is missing")
    if manifest.mlflow:
        _require_sqlite(folder / _MLFLOW)
    found = {path.stem for path in (folder / "tables").glob("*.jsonl")}
    if differing := sorted(found ^ manifest.rows.keys()):
        state = "is missing" if differing[0] in manifest.rows else f"is not in {_MANIFEST}"
        raise _DamagedError(f"tables/{differing[0][:60]}.jsonl {state}")


def _require_sqlite(path: Path) -> None:
    """Check that a file is an undamaged SQLite database.

    Raises:
        _DamagedError: It is not.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            (found,) = database.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise _DamagedError(f"{path.name} must be a SQLite database: {error}") from error
    if found != "ok":
        raise _DamagedError(f"{path.name} must be a SQLite database: {found}")


def _add_tables(
    archive: tarfile.TarFile, settings: Settings, folder: Path
) -> tuple[str, dict[str, int]]:
    """Add a consistent snapshot of the tables; return the schema's revision and rows per table."""
    database = Database(settings.resolved_database_url)
    shown = database.url.render_as_string()
    if _is_missing(database):
        raise BackupError(f"there is no database {shown}; is SASAM_HOME the right one?")
    rows: dict[str, int] = {}
    try:
        with database.snapshot() as session:
            connection = session.connection()
            revision = MigrationContext.configure(connection).get_current_revision()
            if revision is None:
                raise BackupError(
                    f"{shown} has no tables of sasam; is SASAM_DATABASE_URL the right one?"
                )
            for table in tables(connection):
                path = folder / f"{table.name}.jsonl"
                rows[table.name] = 0
                with path.open("w") as lines:
                    for line in read_rows(connection, table):
                        lines.write(line)
                        rows[table.name] += 1
                archive.add(path, f"tables/{path.name}")
                path.unlink()
    finally:
        database.close()
    return revision, rows


def _restore_tables(
    file: Path, manifest: Manifest, settings: Settings, folder: Path, home: Path
) -> None:
    """Fill and migrate an empty database and move MLflow's files into the home, or undo all."""
    database = Database(settings.resolved_database_url)
    is_new = _is_missing(database)
    moved: list[Path] = []
    try:
        if not is_new:
            _require_empty(database)
        with database.restoring() as connection:
            _upgrade(database, connection, file, manifest)
            _fill(connection, manifest, folder)
            database.upgrade(connection)
            for name in (_MLFLOW, _ARTIFACTS):
                if (folder / name).exists():
                    restrict(folder / name)
                    moved.append(home / name)
                    shutil.move(folder / name, home / name)
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        database.close()
        if is_new:
            base = Path(str(database.url.database))
            for path in (base, *(base.with_name(base.name + end) for end in ("-wal", "-shm"))):
                path.unlink(missing_ok=True)
        raise
    finally:
        database.close()


def _require_empty(database: Database) -> None:
    """Refuse a database that has tables of sasam.

    Raises:
        BackupError: The database has a table of sweeps.
    """
    with database.engine.connect() as connection:
        if connection.dialect.has_table(connection, SweepRow.__tablename__):
            shown = database.url.render_as_string()
            raise BackupError(f"{shown} is not empty; restore into an empty database")


def _upgrade(database: Database, connection: Connection, file: Path, manifest: Manifest) -> None:
    """Create the tables in the schema of the version that wrote the backup.

    Raises:
        BackupError: This version does not know that schema.
    """
    try:
        database.upgrade(connection, manifest.revision)
    except CommandError as error:
        raise BackupError(
            f"{file} was written by sasam {manifest.version}, which is newer than this one; "
            "restore it with that version"
        ) from error


def _fill(connection: Connection, manifest: Manifest, folder: Path) -> None:
    """Insert the rows of all tables.

    Raises:
        _DamagedError: A table is unknown, a row is invalid, or the manifest lists another number
            of rows.
    """
    known = tables(connection)
    if unknown := sorted(manifest.rows.keys() - {table.name for table in known}):
        names = ", ".join(table.name for table in known)
        raise _DamagedError(f"there is no table {unknown[0][:60]!r}; the tables are {names}")
    for table in known:
        if table.name not in manifest.rows:
            continue
        with (folder / "tables" / f"{table.name}.jsonl").open("rb") as lines:
            try:
                count = write_rows(connection, table, lines)
            except BackupError as error:
                raise _DamagedError(str(error)) from error
        if count != manifest.rows[table.name]:
            raise _DamagedError(
                f"tables/{table.name}.jsonl has {count} rows, but {_MANIFEST} lists "
                f"{manifest.rows[table.name]}"
            )


def _is_missing(database: Database) -> bool:
    """Whether the database is a SQLite file that does not exist; connecting would create it."""
    path = database.url.database
    is_file = database.url.get_backend_name() == "sqlite" and path is not None
    return is_file and not Path(str(path)).exists()


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a consistent snapshot of a SQLite database that may be in use."""
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as read,
        closing(sqlite3.connect(target)) as written,
    ):
        read.backup(written)
