"""Audit log: every command with its caller, address and result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from service.first_line import first_line
from service.storage import DATABASE_UNAVAILABLE, Database
from service.storage.security_tables import AuditRow

__all__ = ["AuditLog"]

_log = logging.getLogger(__name__)


class AuditLog:
    """The audit log of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        *,
        actor: str,
        address: str,
        command: str,
        sweep_id: str | None,
        status: int,
        request_id: str,
    ) -> None:
        """Store an entry and log it; an unreachable database does not hold up the response."""
        _log.info("audit: %s from %s: %s %s -> %d", actor, address, command, sweep_id or "", status)
        try:
            with self._database.transaction() as session:
                session.add(
                    AuditRow(
                        at=datetime.now(UTC),
                        actor=actor,
                        address=address,
                        command=command[:255],
                        sweep_id=sweep_id,
                        status=status,
                        request_id=request_id,
                    )
                )
        except DATABASE_UNAVAILABLE as error:
            reason = first_line(error)
            _log.error("the audit log could not be written: %s", reason)
        except SQLAlchemyError:
            _log.exception("the audit log could not be written")

    def page(
        self, *, before: int | None = None, sweep_id: str | None = None, limit: int
    ) -> Sequence[AuditRow]:
        """Return entries, newest first.

        Args:
            before: Return only entries with a lower number; None for all.
            sweep_id: Return only entries of this sweep; None for all.
            limit: Maximum number of entries.
        """
        query = select(AuditRow).order_by(AuditRow.number.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditRow.number < before)
        if sweep_id is not None:
            query = query.where(AuditRow.sweep_id == sweep_id)
        with self._database.snapshot() as session:
            return session.scalars(query).all()
