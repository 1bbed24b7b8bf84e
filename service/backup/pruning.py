"""Pruning: removal of checkpoints, Tune's state and prepared images of sweeps that ended.

Results are in MLflow and in the journal of each sweep, which is kept. A failed trial that is
retried later starts from the beginning instead of from its checkpoint.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete

from service.first_line import first_line
from service.settings import Settings
from service.states import TERMINAL
from service.storage import DATABASE_UNAVAILABLE, Database, SweepRow
from service.storage.security_tables import SessionRow
from service.storage.webhook_tables import DeliveryRow
from service.webhooks.delivery import NOTICE_PERIOD

__all__ = ["Pruned", "Pruner", "prune"]

log = logging.getLogger(__name__)

_REMOVED = ("checkpoints", "tune", "data")
_TRASH = ".pruned-"
_JOURNAL = "journal.jsonl"
_PERIOD_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Pruned:
    """Removed files; in a dry run those that would be removed.

    Attributes:
        sweeps: Ids of sweeps.
        bytes: Total size of the files.
    """

    sweeps: list[str]
    bytes: int


def prune(
    database: Database, settings: Settings, age: timedelta, *, dry_run: bool = False
) -> Pruned:
    """Remove large files of sweeps that ended long ago, expired sessions and settled deliveries.

    Args:
        database: The database with the sweeps.
        settings: The service's settings; they locate the files of drivers.
        age: Minimum time since the end of a sweep.
        dry_run: Report what would be removed, and remove nothing.
    """
    before = datetime.now(UTC) - age
    sweeps, size = [], 0
    for folder in _old_sweeps(database, Path(settings.resolved_scratch_path) / "sweeps", before):
        found = [path for name in _REMOVED if (path := folder / name).exists()]
        if not dry_run:
            found += folder.glob(f"{_TRASH}*")  # left by a pruning that was killed
        if not found:
            continue
        sweeps.append(folder.name)
        size += sum(_size(path) for path in found)
        if not dry_run:
            for path in found:
                _remove(path)
    if not dry_run:
        with database.transaction() as session:
            session.execute(delete(SessionRow).where(SessionRow.expires_at < before))
            # Younger deliveries are kept: without its row, an end is notified again.
            noticed = min(before, datetime.now(UTC) - NOTICE_PERIOD)
            settled = DeliveryRow.due_at.is_(None) & (DeliveryRow.ended_at < noticed)
            session.execute(delete(DeliveryRow).where(settled))
    return Pruned(sweeps, size)


class Pruner:
    """Prunes every hour in a thread, unless checkpoints are kept forever.

    Args:
        database: The database with the sweeps.
        settings: The service's settings: location of the files, how long they are kept.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="pruner", daemon=True)

    def start(self) -> None:
        """Start the thread, unless checkpoints are kept forever."""
        if self._settings.keep_checkpoints_days is not None:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait until it has ended."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        """Prune every hour until ``stop``."""
        age = timedelta(days=self._settings.keep_checkpoints_days or 0)
        while True:
            try:
                pruned = prune(self._database, self._settings, age)
            except DATABASE_UNAVAILABLE as error:
                reason = first_line(error)
                log.warning("pruning failed; it is tried again in an hour: %s", reason)
            except Exception:
                log.exception("pruning failed; it is tried again in an hour")
            else:
                for sweep_id in pruned.sweeps:
                    log.info("sweep %s: checkpoints removed", sweep_id)
            if self._stopping.wait(_PERIOD_SECONDS):
                return


def _old_sweeps(database: Database, folder: Path, before: datetime) -> Iterator[Path]:
    """Folders of sweeps that ended before a time; unknown sweeps by the age of their journal."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with database.snapshot() as session:  # one per sweep: it may be retried meanwhile
            row = session.get(SweepRow, path.name)
        if row is None:
            is_old = _is_older(path / _JOURNAL, before)
        else:
            is_old = row.state in TERMINAL and row.ended_at is not None and row.ended_at < before
        if is_old:
            yield path


def _is_older(journal: Path, before: datetime) -> bool:
    """Whether a journal exists and was last written before a time."""
    return journal.is_file() and journal.stat().st_mtime < before.timestamp()


def _size(path: Path) -> int:
    """Total size of the files below a folder, in bytes."""
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def _remove(path: Path) -> None:
    """Remove a folder, atomically for its readers: it is renamed first."""
    trash = path if path.name.startswith(_TRASH) else path.with_name(f"{_TRASH}{path.name}")
    if trash != path:
        if trash.exists():
            shutil.rmtree(trash)
        path.rename(trash)
    shutil.rmtree(trash)
