"""Commands for operators: back up, restore, prune, repair.

Backup, restore and prune work on the database and files directly; repair calls the service.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from service.cli.connection import connect, find_sweep
from service.cli.errors import CliError, ExitStatus
from service.cli.options import Output, Url, examples
from service.cli.output import OutputFormat, echo, write
from service.cli.wording import count_of

__all__ = ["backup", "prune", "repair", "restore"]

File = Annotated[Path, typer.Argument(help="The backup.", dir_okay=False)]


@examples("sasam backup sasam-2026-11-25.tar.gz", "sasam backup all.tar.gz --artifacts")
def backup(
    file: File,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Include MLflow's files of the embedded mode.")
    ] = False,
) -> None:
    """Back up the database of the service, which may be running, and MLflow's in embedded mode."""
    from service.backup.archive import write_backup
    from service.embedded.privacy import tighten
    from service.settings import Settings

    settings = Settings()
    tighten(settings.home)
    manifest = write_backup(file, settings, artifacts=artifacts)
    mlflow = "with" if manifest.mlflow else "without"
    echo(
        f"{file}: {count_of(manifest.rows.get('sweeps', 0), 'sweep')}, "
        f"{count_of(manifest.rows.get('trials', 0), 'trial')}, {mlflow} MLflow's database, "
        f"{_mebibytes(file.stat().st_size)}"
    )


@examples("SASAM_HOME=/data/new sasam restore sasam-2026-11-25.tar.gz")
def restore(file: File) -> None:
    """Restore a backup into an empty SASAM_HOME and database."""
    from service.backup.archive import restore_backup
    from service.settings import Settings

    manifest = restore_backup(file, Settings())
    sweeps = count_of(manifest.rows.get("sweeps", 0), "sweep")
    echo(
        f"restored {sweeps} from the backup of {manifest.created_at}; start the service, then "
        "`sasam repair --all` adds sweeps that MLflow recorded later"
    )


@examples("sasam prune --days 30 --dry-run", "SASAM_KEEP_CHECKPOINTS_DAYS=30 sasam prune")
def prune(
    days: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Only sweeps that ended at least this long ago [SASAM_KEEP_CHECKPOINTS_DAYS].",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the sweeps whose files would be removed.")
    ] = False,
) -> None:
    """Remove checkpoints and prepared images of sweeps that ended long ago; results are kept."""
    from service.backup.pruning import prune as remove
    from service.embedded.privacy import tighten
    from service.settings import Settings
    from service.storage import Database

    settings = Settings()
    kept = settings.keep_checkpoints_days if days is None else days
    if kept is None:
        raise CliError("give an age: --days 30, or set SASAM_KEEP_CHECKPOINTS_DAYS")
    tighten(settings.home)
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        pruned = remove(database, settings, timedelta(days=kept), dry_run=dry_run)
    finally:
        database.close()
    verb = "would remove" if dry_run else "removed"
    sweeps = count_of(len(pruned.sweeps), "sweep")
    echo(f"{verb} the files of {sweeps} ({_mebibytes(pruned.bytes)})")
    for sweep_id in pruned.sweeps:
        echo(f"  {sweep_id}")
    if settings.storage_is_on_s3:
        echo(f"checkpoints under {settings.storage_path} are kept: use a lifecycle rule of S3")


@examples("sasam repair 1f0c2a9b77d4", "sasam repair --all")
def repair(
    sweep: Annotated[
        str | None,
        typer.Argument(
            metavar="SWEEP", help="Read the trials of this sweep again.", show_default=False
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Restore all sweeps that only MLflow has, also those that were deleted."
        ),
    ] = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Restore sweeps and trials from MLflow that the database has lost; for administrators."""
    if (sweep is None) != every:
        raise CliError("name either a sweep or --all", ExitStatus.USAGE)
    with connect(url) as client:
        done = client.repair() if sweep is None else find_sweep(client, sweep).repair()
    if output is OutputFormat.TABLE:
        sweeps = ", ".join(done.sweeps) or "none"
        echo(f"read {count_of(done.trials, 'trial')} again from MLflow; sweeps: {sweeps}")
    else:
        write(done.model_dump(mode="json"), output)
    for problem in done.problems:
        echo(f"sasam: not restored: {problem}", err=True)
    if done.problems:
        raise typer.Exit(ExitStatus.PARTLY_FAILED)


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"
