"""Logs of drivers: read from the cluster while they run, stored in the database when they end."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.execution.lease import Lease
from service.external.ray_jobs import RayJobs, RayUnavailableError, submission_id
from service.storage import Database, DriverLogRow
from service.unavailable import full_message

__all__ = ["MAX_LINES", "DriverLogs"]

log = logging.getLogger(__name__)

MAX_LINES = 2_000
_KEPT_ATTEMPTS = 20
"""Number of drivers of a sweep whose logs are kept, the newest; each log has at most 256 KiB."""


class DriverLogs:
    """The logs of the drivers of sweeps.

    Args:
        database: The database that keeps them.
        ray: The cluster, which has the logs of running drivers.
    """

    def __init__(self, database: Database, ray: RayJobs) -> None:
        self._database = database
        self._ray = ray

    def keep(self, sweep_id: str, attempt: int, lease: Lease) -> None:
        """Store the end of a driver's log; the sweep continues if the cluster does not have it."""
        try:
            text = self._ray.log_tail(submission_id(sweep_id, attempt), lines=MAX_LINES)
        except RayUnavailableError as error:
            reason = full_message(error)
            log.warning("the log of driver %d of sweep %s is lost: %s", attempt, sweep_id, reason)
            return
        if text is None:
            return
        with self._database.transaction() as session:
            lease.guard(session)
            session.merge(
                DriverLogRow(
                    sweep_id=sweep_id,
                    attempt=attempt,
                    text=text.replace("\0", ""),  # PostgreSQL does not store zero bytes
                    created_at=datetime.now(UTC),
                )
            )
            session.flush()
            self._drop_old(session, sweep_id, attempt - _KEPT_ATTEMPTS)

    def read(self, sweep_id: str, attempts: range, *, lines: int) -> list[tuple[int, str]]:
        """Attempt and last lines of each existing log, oldest first.

        Args:
            sweep_id: The sweep.
            attempts: Numbers of the attempts to read.
            lines: Largest number of lines of each log, at most `MAX_LINES`.

        Raises:
            RayUnavailableError: Ray does not answer, and only Ray has the newest log.
        """
        with self._database.snapshot() as session:
            query = select(DriverLogRow.attempt, DriverLogRow.text).where(
                DriverLogRow.sweep_id == sweep_id,
                DriverLogRow.attempt >= attempts.start,
                DriverLogRow.attempt < attempts.stop,
            )
            kept = {row.attempt: row.text for row in session.execute(query)}
        newest = attempts.stop - 1
        if newest in attempts and newest not in kept:
            text = self._ray.log_tail(submission_id(sweep_id, newest), lines=min(lines, MAX_LINES))
            if text is not None:
                kept[newest] = text
        return [(attempt, _tail(kept[attempt], lines)) for attempt in sorted(kept)]

    def _drop_old(self, session: Session, sweep_id: str, attempt: int) -> None:
        session.execute(
            delete(DriverLogRow).where(
                DriverLogRow.sweep_id == sweep_id, DriverLogRow.attempt <= attempt
            )
        )


def _tail(text: str, lines: int) -> str:
    return "".join(text.splitlines(keepends=True)[-lines:])
