"""Tells the operator's webhooks that sweeps have ended.

    note      a row for each ended sweep and URL that has none
    claim     attempts + 1, due later           where nobody else has claimed it
    send      2xx: delivered     410 or too often: given up     else: again when it is due

Everything is in the database: a message survives restarts, and of several services one sends it. A
service that dies while it sends leaves a claimed message that is sent again: receivers know
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

__all__ = ["PAUSES_SECONDS", "TOLD_OF_PAST", "Webhooks", "read_key"]

log = logging.getLogger(__name__)

PAUSES_SECONDS = (10, 60, 300, 1800, 7200, 21600, 43200)
"""Pauses after each failed try but the last: about a day in all."""

_LOOK_EVERY_SECONDS = 2.0
TOLD_OF_PAST = timedelta(days=1)
_GONE = 410
_KEY_VARIABLE = "SASAM_WEBHOOK_SECRET_FILE"


class Webhooks:
    """Delivers in a thread of its own.

    Args:
        database: Sweeps and messages.
        settings: URLs and the key.

    Raises:
        SecretFileError: There are URLs and no key to sign with.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._urls = [str(url) for url in settings.webhook_urls]
        self._allow_private = settings.webhook_private_addresses
        self._key = read_key(settings)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="webhooks", daemon=True)

    def start(self) -> None:
        """Start delivering, if there is anyone to tell."""
        if self._urls:
            self._thread.start()

    def stop(self) -> None:
        """End after the message that is being sent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def deliver(self) -> int:
        """Note what has ended, send what is due; returns how many messages were sent."""
        self._note()
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
        while not self._stopping.wait(_LOOK_EVERY_SECONDS):
            try:
                self.deliver()
            except SQLAlchemyError as error:
                log.warning("webhooks wait: %s", first_line(error))
            except Exception:
                log.exception("webhooks failed; the next look tries again")

    def _note(self) -> None:
        """Store a message for each sweep that has ended since yesterday and each URL."""
        since = datetime.now(UTC) - TOLD_OF_PAST
        for url in self._urls:
            is_noted = exists().where(
                DeliveryRow.sweep_id == SweepRow.sweep_id,
                DeliveryRow.ended_at == SweepRow.ended_at,
                DeliveryRow.url == url,
            )
            query = select(SweepRow).where(
                SweepRow.state.in_(TERMINAL), SweepRow.ended_at >= since, ~is_noted
            )
            with self._database.snapshot() as session:
                ended = [(row, _message(session, row)) for row in session.scalars(query).all()]
            for row, body in ended:
                self._add(row, url, body)

    def _add(self, row: SweepRow, url: str, body: str) -> None:
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
            pass  # another service was faster

    def _claim(self, row: DeliveryRow) -> bool:
        """Count a try before it is made, so that no other service makes it too."""
        pause = PAUSES_SECONDS[min(row.attempts, len(PAUSES_SECONDS) - 1)]
        statement = (
            update(DeliveryRow)
            .where(DeliveryRow.number == row.number, DeliveryRow.attempts == row.attempts)
            .values(attempts=row.attempts + 1, due_at=datetime.now(UTC) + timedelta(seconds=pause))
        )
        with self._database.transaction() as session:
            return cast(CursorResult[Any], session.execute(statement)).rowcount == 1

    def _send(self, row: DeliveryRow) -> bool:
        """Try once; returns whether it was delivered."""
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
            "webhook for sweep %s: try %d failed%s: %s",
            row.sweep_id,
            row.attempts + 1,
            ", given up" if is_last else "",
            reason,
        )
        self._settle(row, error=reason[:500], **({"due_at": None} if is_last else {}))
        return False

    def _settle(self, row: DeliveryRow, **values: Any) -> None:
        with self._database.transaction() as session:
            session.execute(
                update(DeliveryRow).where(DeliveryRow.number == row.number).values(**values)
            )


def read_key(settings: Settings) -> bytes:
    """The key that signs messages; empty where nobody is told anything.

    Raises:
        SecretFileError: There are URLs and no key.
    """
    if not settings.webhook_urls:
        return b""
    if settings.webhook_secret_file is None:
        raise SecretFileError(
            f"SASAM_WEBHOOK_URLS needs {_KEY_VARIABLE}: a file with the key that signs messages"
        )
    return signing_key(read_secret(settings.webhook_secret_file, _KEY_VARIABLE))


def _message(session: Session, row: SweepRow) -> str:
    """What is told of a sweep's end."""
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
