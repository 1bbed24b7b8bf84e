"""Leader lease: of all services on one database, one acts on sweeps.

    take    set holder, epoch + 1, expiry if the lease has expired
    renew   set expiry if holder and epoch are still this process's
    guard   lock the lease for share in the transaction that acts; fail unless this process holds it

Times are the database's. A process that was suspended for longer than its lease cannot act when it
resumes: its epoch is over, and every transaction of its reconciler is guarded. The lock prevents
that another process takes the lease between the guard and the commit.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time

from sqlalchemy import ColumnElement, case, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from service.first_line import first_line
from service.storage import Database, LeaseRow
from service.storage.clock import DatabaseClock

__all__ = ["Lease", "LeaseLostError", "leader"]

log = logging.getLogger(__name__)

_NAME = "reconciler"
_NOT_HELD = 0
"""Epoch of a lease that this process does not hold."""


class LeaseLostError(RuntimeError):
    """Another process is the leader; this one must not act."""


class Lease:
    """The leader lease as seen by this process, renewed by a thread of its own.

    Args:
        database: The database that stores the lease.
        seconds: Duration of the lease without renewal.
        holder: Name of this process; by default made of host name and process id.
    """

    def __init__(self, database: Database, *, seconds: float, holder: str = "") -> None:
        self.holder = holder or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._database = database
        self._seconds = seconds
        self._epoch = _NOT_HELD
        self._held_until = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def is_held(self) -> bool:
        """Whether this process is the leader, without a query."""
        return self._epoch != _NOT_HELD and time.monotonic() < self._held_until

    def start(self) -> None:
        """Start the thread that takes the lease when it is free, and renews it."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and release the lease."""
        self._stopping.set()
        self._thread.join()
        try:
            self.release()
        except SQLAlchemyError as error:
            log.warning("the lease was not released, it expires by itself: %s", first_line(error))

    def acquire(self) -> bool:
        """Take or renew the lease; returns whether this process is the leader."""
        requested_at = time.monotonic()
        mine = self._mine()
        epoch = case((mine, LeaseRow.epoch), else_=LeaseRow.epoch + 1)
        expires_at = DatabaseClock() + self._seconds
        statement = (
            update(LeaseRow)
            .where(LeaseRow.name == _NAME, mine | (LeaseRow.expires_at < DatabaseClock()))
            .values(holder=self.holder, epoch=epoch, expires_at=expires_at)
            .returning(LeaseRow.epoch)
        )
        with self._database.transaction() as session:
            taken = session.scalar(statement)
        if taken is None and self._is_new():
            return self.acquire()
        if taken is not None and taken != self._epoch:
            log.info("%s leads (epoch %d)", self.holder, taken)
        elif taken is None and self._epoch != _NOT_HELD:
            log.warning("%s no longer leads", self.holder)
        self._epoch = taken or _NOT_HELD
        self._held_until = requested_at + self._seconds
        return taken is not None

    def release(self) -> None:
        """Let another process take the lease immediately."""
        expired = update(LeaseRow).where(self._mine()).values(expires_at=0.0)
        with self._database.transaction() as session:
            session.execute(expired)
        self._epoch = _NOT_HELD

    def guard(self, session: Session) -> None:
        """Fail unless this process stays the leader until ``session`` commits.

        Raises:
            LeaseLostError: Another process is the leader, or may be.
        """
        is_current = self._mine() & (LeaseRow.expires_at > DatabaseClock())
        held = select(LeaseRow.epoch).where(is_current).with_for_update(read=True)
        if session.scalar(held) is None:
            raise LeaseLostError(f"{self.holder} does not lead (epoch {self._epoch})")

    def check(self) -> None:
        """Fail unless this process is the leader now; called before acting outside the database.

        Raises:
            LeaseLostError: Another process is the leader, or may be.
        """
        with self._database.transaction() as session:
            self.guard(session)

    def _mine(self) -> ColumnElement[bool]:
        return (
            (LeaseRow.name == _NAME)
            & (LeaseRow.holder == self.holder)
            & (LeaseRow.epoch == self._epoch)
        )

    def _is_new(self) -> bool:
        """Store an expired lease if there is none; returns whether it was missing."""
        with self._database.snapshot() as session:
            if session.get(LeaseRow, _NAME) is not None:
                return False
        try:
            with self._database.transaction() as session:
                session.add(LeaseRow(name=_NAME, holder="", epoch=_NOT_HELD, expires_at=0.0))
        except IntegrityError:
            pass  # another process stored it first
        return True

    def _keep(self) -> None:
        while True:
            try:
                self.acquire()
            except SQLAlchemyError as error:
                log.warning("the lease cannot be renewed, retrying soon: %s", first_line(error))
            if self._stopping.wait(self._seconds / 3):
                return


def leader(session: Session) -> str | None:
    """Name of the leader; None if there is none."""
    current = (LeaseRow.name == _NAME) & (LeaseRow.expires_at > DatabaseClock())
    return session.scalar(select(LeaseRow.holder).where(current))
