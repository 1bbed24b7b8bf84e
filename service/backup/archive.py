"""Writes and restores backups: one file with all that cannot be computed again.

    manifest.json        what wrote it, when, the revision of the schema, rows of each table
    tables/NAME.jsonl    the service's tables, of one moment
    mlflow.db            MLflow's database of the embedded mode, of a moment after that
    artifacts/...        MLflow's files of the embedded mode, where they are wanted

A service that is restored from a backup takes in what MLflow has recorded since. Checkpoints are
not part of it: a sweep that was running starts its unfinished trials anew.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from service.backup.errors import BackupError
from service.backup.rows import read_rows, tables, write_rows
from service.embedded.home import occupy
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
    """What a backup holds.

    Attributes:
        format: Version of this layout.
        version: Of the sasam that wrote it.
        revision: Of the schema of its tables.
        created_at: When it was written.
        rows: Rows of each table.
        mlflow: Whether MLflow's database is in it.
        artifacts: Whether MLflow's files are in it.
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
        file: What to write; a gzipped tar.
        settings: The service's settings.
        artifacts: Whether MLflow's files of the embedded mode belong to it.

    Raises:
        BackupError: The file exists, or the database has no tables of this service.
    """
    if file.exists():
        raise BackupError(f"{file} exists; name a file that does not")
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
        os.link(part, file)  # all of it or nothing, and never over another file
    return manifest


def restore_backup(file: Path, settings: Settings) -> Manifest:
    """Restore a backup where no service has been.

    Args:
        file: The backup.
        settings: Settings of the service it will be; its home and database must be empty.

    Raises:
        BackupError: The file is none, is of a newer version, or something is there already.
    """
    home = settings.home.expanduser()
    with tempfile.TemporaryDirectory(prefix="sasam-") as folder:
        try:
            with tarfile.open(file, "r:gz") as archive:
                unpack(archive, Path(folder))
            manifest = Manifest(**json.loads((Path(folder) / _MANIFEST).read_text()))
        except (OSError, tarfile.TarError, ValueError, TypeError, EOFError) as error:
            raise BackupError(f"{file} is no backup of sasam, or damaged: {error}") from error
        if manifest.format != _FORMAT:
            raise BackupError(
                f"{file} was written by sasam {manifest.version} in a layout (format "
                f"{manifest.format}) that this version does not know; restore it with that one"
            )
        with occupy(home):
            for path in (home / _MLFLOW, home / _ARTIFACTS):
                if path.exists():
                    raise BackupError(f"{path} exists; restore into an empty SASAM_HOME")
            _restore_tables(file, manifest, settings, Path(folder))
            for name in (_MLFLOW, _ARTIFACTS):
                if (Path(folder) / name).exists():
                    shutil.move(Path(folder) / name, home / name)
    return manifest


def _add_tables(
    archive: tarfile.TarFile, settings: Settings, folder: Path
) -> tuple[str, dict[str, int]]:
    """Add the tables as they are at one moment; returns their revision and rows."""
    database = Database(settings.resolved_database_url)
    where = database.url.render_as_string()
    if _is_missing(database):
        raise BackupError(f"there is no database {where}; is SASAM_HOME the right one?")
    rows: dict[str, int] = {}
    try:
        with database.snapshot() as session:
            connection = session.connection()
            revision = MigrationContext.configure(connection).get_current_revision()
            if revision is None:
                raise BackupError(f"{where} holds no service; is SASAM_DATABASE_URL the right one?")
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


def _restore_tables(file: Path, manifest: Manifest, settings: Settings, folder: Path) -> None:
    """Fill an empty database at the backup's revision, then bring it up to date."""
    database = Database(settings.resolved_database_url)
    try:
        if not _is_missing(database):
            with database.engine.connect() as connection:
                if connection.dialect.has_table(connection, SweepRow.__tablename__):
                    where = database.url.render_as_string()
                    raise BackupError(f"{where} is not empty; restore into an empty database")
        try:
            database.migrate(manifest.revision)
        except CommandError as error:
            raise BackupError(
                f"{file} was written by sasam {manifest.version}, which is newer than this one; "
                "restore it with that version"
            ) from error
        with database.engine.begin() as connection:
            for table in tables(connection):
                if table.name in manifest.rows:
                    with (folder / "tables" / f"{table.name}.jsonl").open() as lines:
                        write_rows(connection, table, lines)
        database.migrate()
    finally:
        database.close()


def _is_missing(database: Database) -> bool:
    """Whether a SQLite file is not there; asking it would make it."""
    path = database.url.database
    is_file = database.url.get_backend_name() == "sqlite" and path is not None
    return is_file and not Path(str(path)).exists()


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database that others may write to, as of one moment."""
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as read,
        closing(sqlite3.connect(target)) as written,
    ):
        read.backup(written)
