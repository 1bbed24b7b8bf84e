"""Tables of tokens, sessions, the audit log and the requirement of tokens; secrets as digests."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.tables import Table

__all__ = ["AuditRow", "ProtectionRow", "SessionRow", "TokenRow"]


class TokenRow(Table):
    """One bearer token."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the token, hexadecimal."""
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """Rounded to the minute."""


class SessionRow(Table):
    """A login session of the page; it ends with its token."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the cookie, hexadecimal."""
    token: Mapped[str] = mapped_column(ForeignKey("tokens.name", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ProtectionRow(Table):
    """A protection that stays active; a row exists while it is active."""

    __tablename__ = "protection"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    """``tokens-required``: callers need a token, even if every token is revoked or expired."""
    since: Mapped[datetime]


class AuditRow(Table):
    """A command of an authenticated caller."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(64))
    """Name of the token; ``local`` if none is required."""
    address: Mapped[str] = mapped_column(String(64))
    command: Mapped[str] = mapped_column(String(255))
    """Method and route template."""
    sweep_id: Mapped[str | None] = mapped_column(String(16), index=True)
    status: Mapped[int]
    """HTTP status of the response."""
    request_id: Mapped[str] = mapped_column(String(64))
