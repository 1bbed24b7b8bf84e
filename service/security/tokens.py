"""Bearer tokens: an operator creates, lists and revokes them; a request shows one.

The first token makes tokens a requirement, which the database keeps until ``waive``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.exc import IntegrityError

from service.security.access import LOCAL, Principal, Role
from service.security.errors import TokenError
from service.security.secrets import digest, new_secret
from service.storage import Database
from service.storage.security_tables import ProtectionRow, TokenRow

__all__ = ["BOOTSTRAP", "Tokens", "is_valid"]

BOOTSTRAP = "bootstrap"
"""Name of the token that a file gives."""

_REQUIRED = "tokens-required"
_PREFIX = "sasam_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = {BOOTSTRAP, LOCAL.name}
_USE_RECORDED_EVERY = timedelta(minutes=1)


class Tokens:
    """The tokens of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, role: Role, *, lifetime: timedelta | None = None) -> str:
        """Create a token; this is the only time it is seen.

        Args:
            name: Who or what will use it.
            role: What it allows.
            lifetime: How long it is valid; until it is revoked when absent.

        Raises:
            TokenError: The name is taken, reserved or none; or the lifetime is over at once.
        """
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise TokenError(
                f"no token can be named {name[:80]!r}; use up to 64 letters, digits, '.', '_' and "
                f"'-', and none of {', '.join(sorted(_RESERVED))}"
            )
        if lifetime is not None and lifetime <= timedelta(0):
            raise TokenError(f"a token cannot be valid for {lifetime}; give a positive time")
        token = new_secret(_PREFIX)
        try:
            self._store(name, token, role, lifetime)
        except IntegrityError as error:
            raise TokenError(
                f"there is a token named {name!r}; revoke it first, or choose another name"
            ) from error
        return token

    def all(self) -> Sequence[TokenRow]:
        """Every token, by name."""
        with self._database.snapshot() as session:
            return session.scalars(select(TokenRow).order_by(TokenRow.name)).all()

    def exist(self) -> bool:
        """Whether there is any, valid or not."""
        with self._database.snapshot() as session:
            return session.scalar(select(TokenRow.name).limit(1)) is not None

    def are_required(self) -> bool:
        """Whether there has been a token since the last ``waive``."""
        with self._database.snapshot() as session:
            is_kept = session.get(ProtectionRow, _REQUIRED) is not None
            return is_kept or session.scalar(select(TokenRow.name).limit(1)) is not None

    def waive(self) -> bool:
        """Require no token any more; returns whether one was required.

        Raises:
            TokenError: There are tokens, which would be required again at once.
        """
        if names := [row.name for row in self.all()]:
            raise TokenError(
                f"tokens are required as long as there are any (there are: {', '.join(names)}); "
                "revoke them first"
            )
        with self._database.transaction() as session:
            statement = delete(ProtectionRow).where(ProtectionRow.name == _REQUIRED)
            return cast(CursorResult[Any], session.execute(statement)).rowcount == 1

    def revoke(self, name: str) -> None:
        """Delete a token, and with it the logins it opened.

        Raises:
            TokenError: There is none of that name.
        """
        if not self._remove(name):
            known = ", ".join(row.name for row in self.all()) or "none"
            raise TokenError(f"no token is named {name[:80]!r} (there are: {known})")

    def bootstrap(self, token: str | None) -> None:
        """Make ``token`` the administrator's that a file gives; the one before is revoked."""
        with self._database.snapshot() as session:
            known = session.get(TokenRow, BOOTSTRAP)
        if known is not None and (token is None or known.digest != digest(token)):
            self._remove(BOOTSTRAP)
            known = None
        if token is not None and known is None:
            self._store(BOOTSTRAP, token, Role.ADMIN, None)

    def identify(self, token: str) -> Principal | None:
        """Whose token it is; None when it is nobody's or its time is over."""
        wanted, now = digest(token), datetime.now(UTC)
        with self._database.snapshot() as session:
            row = session.scalar(select(TokenRow).where(TokenRow.digest == wanted))
        if row is None or not hmac.compare_digest(row.digest, wanted) or not is_valid(row, now):
            return None
        if row.last_used_at is None or now - row.last_used_at >= _USE_RECORDED_EVERY:
            with self._database.transaction() as session:
                used = update(TokenRow).where(TokenRow.digest == wanted)
                session.execute(used.values(last_used_at=now))
        return Principal(row.name, Role(row.role))

    def _store(self, name: str, token: str, role: Role, lifetime: timedelta | None) -> None:
        now = datetime.now(UTC)
        expires_at = None if lifetime is None else now + lifetime
        with self._database.transaction() as session:
            if session.get(ProtectionRow, _REQUIRED) is None:
                session.add(ProtectionRow(name=_REQUIRED, since=now))
            session.add(
                TokenRow(
                    name=name,
                    digest=digest(token),
                    role=role,
                    created_at=now,
                    expires_at=expires_at,
                )
            )

    def _remove(self, name: str) -> bool:
        statement = delete(TokenRow).where(TokenRow.name == name)
        with self._database.transaction() as session:
            return cast(CursorResult[Any], session.execute(statement)).rowcount == 1


def is_valid(row: TokenRow, now: datetime) -> bool:
    """Whether a token's time is not over."""
    return row.expires_at is None or now < row.expires_at
