"""Commands for operators: back up, restore, prune. They work on database and files directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from service.cli.failures import CliError
from service.cli.options import examples
from service.cli.output import echo

__all__ = ["backup", "prune", "restore"]

File = Annotated[Path, typer.Argument(help="The backup.", dir_okay=False)]


@examples("sasam backup sasam-2026-11-25.tar.gz", "sasam backup all.tar.gz --artifacts")
def backup(
    file: File,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Include MLflow's files of the embedded mode.")
    ] = False,
) -> None:
    """Back up the service, which may be running: its tables, and MLflow's of the embedded mode."""
    from service.backup.archive import write_backup
    from service.embedded.privacy import tighten
    from service.settings import Settings

    settings = Settings()
    tighten(settings.home)
    with _told():
        manifest = write_backup(file, settings, artifacts=artifacts)
    mlflow = "with" if manifest.mlflow else "without"
    echo(
        f"{file}: {manifest.rows.get('sweeps', 0)} sweeps, {manifest.rows.get('trials', 0)} "
        f"trials, {mlflow} MLflow's database, {file.stat().st_size / 2**20:.1f} MiB"
    )


@examples("SASAM_HOME=/data/new sasam restore sasam-2026-11-25.tar.gz")
def restore(file: File) -> None:
    """Restore a backup into an empty SASAM_HOME and database."""
    from service.backup.archive import restore_backup
    from service.settings import Settings

    with _told():
        manifest = restore_backup(file, Settings())
    echo(
        f"restored {manifest.rows.get('sweeps', 0)} sweeps of {manifest.created_at}; start the "
        "service, and what MLflow recorded later comes with `sasam repair`"
    )


@examples("sasam prune --days 30 --dry-run", "SASAM_KEEP_CHECKPOINTS_DAYS=30 sasam prune")
def prune(
    days: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="How long ago a sweep must have ended [SASAM_KEEP_CHECKPOINTS_DAYS].",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> None:
    """Remove checkpoints and prepared images of sweeps that ended long ago; results stay."""
    from service.backup.pruning import prune as remove
    from service.embedded.privacy import tighten
    from service.settings import Settings
    from service.storage import Database

    settings = Settings()
    kept = settings.keep_checkpoints_days if days is None else days
    if kept is None:
        raise CliError("say how old: --days 30, or set SASAM_KEEP_CHECKPOINTS_DAYS")
    tighten(settings.home)
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        pruned = remove(database, settings, timedelta(days=kept), dry_run=dry_run)
    finally:
        database.close()
    verb = "would remove" if dry_run else "removed"
    size = f"{pruned.bytes / 2**20:.1f} MiB"
    echo(f"{verb} the files of {len(pruned.sweeps)} sweeps ({size})")
    for sweep_id in pruned.sweeps:
        echo(f"  {sweep_id}")
    if settings.storage_is_on_s3:
        echo(f"checkpoints under {settings.storage_path} stay: give the bucket a lifecycle rule")


@contextmanager
def _told() -> Iterator[None]:
    """Tell what is wrong with a backup in a line."""
    from service.backup.errors import BackupError

    try:
        yield
    except BackupError as error:
        raise CliError(str(error)) from error
