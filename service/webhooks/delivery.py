"""Delivery of notifications that sweeps have ended to the operator's webhooks.

    enqueue   add one row per ended sweep and URL
    claim     count the attempt and set the time of the next one, by compare-and-set
    send      2xx: delivered; 410 or last attempt: given up; else: next attempt when due

All state is in the database: messages survive restarts, and only one of several services sends
each. If a service dies while sending, the message is sent again; receivers recognise repeated
messages by ``webhook-id``.
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any, cast

from sqlalchemy import CursorResult, exists, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from service.first_line import first_line
from service.security.errors import SecretFileError
from service.security.secrets import read_secret
from service.settings import Settings
from service.states import TERMINAL
from service.storage import Database, SweepRow
from service.storage.webhook_tables import DeliveryRow
from service.trials.repository import TrialRepository
from service.webhooks.addresses import post
from service.webhooks.signature import signed_headers, signing_key

__all__ = ["NOTICE_PERIOD", "PAUSES_SECONDS", "Webhooks", "read_key"]

log = logging.getLogger(__name__)

PAUSES_SECONDS = (10, 60, 300, 1800, 7200, 21600, 43200)
"""Pauses after each failed attempt but the last; about a day in total."""

NOTICE_PERIOD = timedelta(days=1)
"""Only sweeps that ended within this period are notified."""

_POLL_SECONDS = 2.0
_GONE = 410
_KEY_VARIABLE = "SASAM_WEBHOOK_SECRET_FILE"


class Webhooks:
    """Delivers notifications in a thread.

    Args:
        database: The database with sweeps and messages.
        settings: The service's settings: URLs, file with the signing key.

    Raises:
        SecretFileError: URLs are set, but no signing key.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._urls = [str(url) for url in settings.webhook_urls]
        self._allow_private = settings.webhook_private_addresses
        self._key = read_key(settings)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="webhooks", daemon=True)

    def start(self) -> None:
        """Start the thread, if URLs are set."""
        if self._urls:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread after the message that is being sent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def deliver(self) -> int:
        """Enqueue messages, send those that are due; return the number delivered."""
        self._enqueue()
        with self._database.snapshot() as session:
            query = select(DeliveryRow).where(DeliveryRow.due_at <= datetime.now(UTC))
            due = session.scalars(query.order_by(DeliveryRow.due_at)).all()
        sent = 0
        for row in due:
            if self._stopping.is_set():
                break
            sent += self._claim(row) and self._send(row)
        return sent

    def _loop(self) -> None:
        """Deliver periodically until ``stop``."""
        while not self._stopping.wait(_POLL_SECONDS):
            try:
                self.deliver()
            except SQLAlchemyError as error:
                log.warning("webhooks wait for the database: %s", first_line(error))
            except Exception:
                log.exception("delivery of webhooks failed; it is tried again")

    def _enqueue(self) -> None:
        """Store one message per URL and sweep that ended recently."""
        since = datetime.now(UTC) - NOTICE_PERIOD
        for url in self._urls:
            is_enqueued = exists().where(
                DeliveryRow.sweep_id == SweepRow.sweep_id,
                DeliveryRow.ended_at == SweepRow.ended_at,
                DeliveryRow.url == url,
            )
            query = select(SweepRow).where(
                SweepRow.state.in_(TERMINAL), SweepRow.ended_at >= since, ~is_enqueued
            )
            with self._database.snapshot() as session:
                ended = [(row, _message(session, row)) for row in session.scalars(query).all()]
            for row, body in ended:
                self._add(row, url, body)

    def _add(self, row: SweepRow, url: str, body: str) -> None:
        """Store a message that is due now, unless another service has stored it."""
        now = datetime.now(UTC)
        try:
            with self._database.transaction() as session:
                session.add(
                    DeliveryRow(
                        sweep_id=row.sweep_id,
                        ended_at=row.ended_at,
                        url=url,
                        body=body,
                        attempts=0,
                        created_at=now,
                        due_at=now,
                    )
                )
        except IntegrityError:
            pass  # another service has stored it

    def _claim(self, row: DeliveryRow) -> bool:
        """Count an attempt before it is made; False if another service has claimed it."""
        pause = PAUSES_SECONDS[min(row.attempts, len(PAUSES_SECONDS) - 1)]
        statement = (
            update(DeliveryRow)
            .where(DeliveryRow.number == row.number, DeliveryRow.attempts == row.attempts)
            .values(attempts=row.attempts + 1, due_at=datetime.now(UTC) + timedelta(seconds=pause))
        )
        with self._database.transaction() as session:
            return cast(CursorResult[Any], session.execute(statement)).rowcount == 1

    def _send(self, row: DeliveryRow) -> bool:
        """Send a message once; return whether it was delivered."""
        body = row.body.encode()
        now = datetime.now(UTC)
        message_id = f"sasam-{row.sweep_id}-{row.number}"
        headers = signed_headers(self._key, message_id, int(now.timestamp()), body)
        headers |= {"Content-Type": "application/json", "User-Agent": "sasam"}
        is_last = row.attempts >= len(PAUSES_SECONDS)
        try:
            status = post(row.url, body, headers, allow_private=self._allow_private)
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
        else:
            if 200 <= status < 300:
                self._settle(row, due_at=None, delivered_at=now, error=None)
                return True
            reason, is_last = f"answered {status}", is_last or status == _GONE
        log.warning(
            "webhook for sweep %s: attempt %d failed%s: %s",
            row.sweep_id,
            row.attempts + 1,
            ", given up" if is_last else "",
            reason,
        )
        self._settle(row, error=reason[:500], **({"due_at": None} if is_last else {}))
        return False

    def _settle(self, row: DeliveryRow, **values: Any) -> None:
        """Store the result of an attempt."""
        with self._database.transaction() as session:
            session.execute(
                update(DeliveryRow).where(DeliveryRow.number == row.number).values(**values)
            )


def read_key(settings: Settings) -> bytes:
    """Read the signing key; empty if no URLs are set.

    Raises:
        SecretFileError: URLs are set, but no signing key.
    """
    if not settings.webhook_urls:
        return b""
    if settings.webhook_secret_file is None:
        raise SecretFileError(
            f"SASAM_WEBHOOK_URLS needs {_KEY_VARIABLE}: a file with the key that signs messages"
        )
    return signing_key(read_secret(settings.webhook_secret_file, _KEY_VARIABLE))


def _message(session: Session, row: SweepRow) -> str:
    """The JSON of the notification that a sweep has ended."""
    ended_at = row.ended_at.isoformat() if row.ended_at else None
    counts = TrialRepository(session).count([row.sweep_id])[row.sweep_id]
    return json.dumps(
        {
            "type": f"sweep.{row.state}",
            "timestamp": ended_at,
            "data": {
                "sweep_id": row.sweep_id,
                "name": row.name,
                "state": row.state,
                "reason": row.reason,
                "trials": {"total": row.trial_count} | {k: v for k, v in counts.items() if v},
                "ended_at": ended_at,
                "tags": row.specification.get("tags", {}),
                "page": f"/sweeps/{row.sweep_id}",
            },
        }
    )
