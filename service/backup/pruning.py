"""Removes what ended sweeps leave behind: checkpoints, Tune's state, prepared images.

Results are in MLflow and in each sweep's journal, which stays. A failed trial that is retried later
starts anew instead of from its checkpoint.
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
from service.webhooks.delivery import TOLD_OF_PAST

__all__ = ["Pruned", "Pruner", "prune"]

log = logging.getLogger(__name__)

_REMOVED = ("checkpoints", "tune", "data")
_TRASH = ".pruned-"
_JOURNAL = "journal.jsonl"
_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        sweeps: Ids of sweeps.
        bytes: Size of their files.
    """

    sweeps: list[str]
    bytes: int


def prune(
    database: Database, settings: Settings, age: timedelta, *, dry_run: bool = False
) -> Pruned:
    """Remove the bulky files of sweeps that ended long ago, and rows that nobody reads again.

    Args:
        database: Knows which sweeps have ended.
        settings: Where drivers keep their files.
        age: How long ago a sweep must have ended.
        dry_run: Only say what would be removed.
    """
    before = datetime.now(UTC) - age
    sweeps, size = [], 0
    for folder in _old_sweeps(database, Path(settings.resolved_scratch_path) / "sweeps", before):
        found = [path for name in _REMOVED if (path := folder / name).exists()]
        if not dry_run:
            found += folder.glob(f"{_TRASH}*")  # of a run that was killed
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
            told = min(before, datetime.now(UTC) - TOLD_OF_PAST)  # or they would be told again
            settled = DeliveryRow.due_at.is_(None) & (DeliveryRow.ended_at < told)
            session.execute(delete(DeliveryRow).where(settled))
    return Pruned(sweeps, size)


class Pruner:
    """Prunes every hour, where a setting says so.

    Args:
        database: Knows which sweeps have ended.
        settings: Where files are, and how long they are kept.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="pruner", daemon=True)

    def start(self) -> None:
        """Start, if checkpoints are not kept for ever."""
        if self._settings.keep_checkpoints_days is not None:
            self._thread.start()

    def stop(self) -> None:
        """End after what is being removed."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        age = timedelta(days=self._settings.keep_checkpoints_days or 0)
        while True:
            try:
                pruned = prune(self._database, self._settings, age)
            except DATABASE_UNAVAILABLE as error:
                reason = first_line(error)
                log.warning("nothing was pruned; the next hour tries again: %s", reason)
            except Exception:
                log.exception("nothing was pruned; the next hour tries again")
            else:
                for sweep_id in pruned.sweeps:
                    log.info("sweep %s: its checkpoints were removed", sweep_id)
            if self._stopping.wait(_EVERY_SECONDS):
                return


def _old_sweeps(database: Database, folder: Path, before: datetime) -> Iterator[Path]:
    """Folders of sweeps that ended before; of those nobody knows, by their last word."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with database.snapshot() as session:  # anew for each: one may be begun again meanwhile
            row = session.get(SweepRow, path.name)
        if row is None:
            is_old = _spoke_before(path / _JOURNAL, before)
        else:
            is_old = row.state in TERMINAL and row.ended_at is not None and row.ended_at < before
        if is_old:
            yield path


def _spoke_before(journal: Path, before: datetime) -> bool:
    return journal.is_file() and journal.stat().st_mtime < before.timestamp()


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def _remove(path: Path) -> None:
    """Remove a folder; whoever opens it meanwhile finds all of it or nothing."""
    trash = path if path.name.startswith(_TRASH) else path.with_name(f"{_TRASH}{path.name}")
    if trash != path:
        if trash.exists():
            shutil.rmtree(trash)
        path.rename(trash)
    shutil.rmtree(trash)
