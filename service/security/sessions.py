"""Login sessions of the page: a cookie stands for a token; stored, so that it can be revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from service.security.access import Principal, Role
from service.security.secrets import digest, new_secret
from service.security.tokens import is_valid
from service.storage import Database
from service.storage.security_tables import SessionRow, TokenRow

__all__ = ["COOKIE", "Sessions"]

COOKIE = "sasam_session"
"""Name of the cookie."""


class Sessions:
    """The login sessions in the database.

    Args:
        database: The database that stores them.
        lifetime: Lifetime of a session.
    """

    def __init__(self, database: Database, lifetime: timedelta) -> None:
        self._database = database
        self.lifetime = lifetime

    def open(self, principal: Principal) -> str:
        """Open a session for a principal and return its cookie; delete expired sessions."""
        cookie, now = new_secret(), datetime.now(UTC)
        with self._database.transaction() as session:
            session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
            session.add(
                SessionRow(
                    digest=digest(cookie),
                    token=principal.name,
                    created_at=now,
                    expires_at=now + self.lifetime,
                )
            )
        return cookie

    def identify(self, cookie: str) -> Principal | None:
        """The principal of a session; None if the session or its token is invalid or expired."""
        now = datetime.now(UTC)
        query = (
            select(TokenRow)
            .join(SessionRow, SessionRow.token == TokenRow.name)
            .where(SessionRow.digest == digest(cookie), SessionRow.expires_at > now)
        )
        with self._database.snapshot() as session:
            row = session.scalar(query)
        return Principal(row.name, Role(row.role)) if row and is_valid(row, now) else None

    def close(self, cookie: str) -> None:
        """End a session, if it exists."""
        with self._database.transaction() as session:
            session.execute(delete(SessionRow).where(SessionRow.digest == digest(cookie)))
