"""Tables of tokens, sessions, the protection and the audit log; secrets are stored as digests."""

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
    """To the minute."""


class SessionRow(Table):
    """One login of the page; it ends with its token."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the cookie, hexadecimal."""
    token: Mapped[str] = mapped_column(ForeignKey("tokens.name", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ProtectionRow(Table):
    """What an operator has put in force for good; a row exists as long as it is in force."""

    __tablename__ = "protection"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    """``tokens-required``: callers need a token, even when every token is revoked or expired."""
    since: Mapped[datetime]


class AuditRow(Table):
    """One command that someone known gave."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(64))
    """Name of the token; ``local`` where none is asked for."""
    address: Mapped[str] = mapped_column(String(64))
    command: Mapped[str] = mapped_column(String(255))
    """Method and template of the path."""
    sweep_id: Mapped[str | None] = mapped_column(String(16), index=True)
    status: Mapped[int]
    """HTTP status of the answer."""
    request_id: Mapped[str] = mapped_column(String(64))
