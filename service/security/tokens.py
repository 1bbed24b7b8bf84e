"""Bearer tokens: creation, listing, revocation, identification of callers.

From the first token on, callers need one; the database stores this requirement until ``waive``.
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
"""Name of the administrator's token, which comes from a file."""

_REQUIRED = "tokens-required"
_PREFIX = "sasam_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = {BOOTSTRAP, LOCAL.name}
_USE_RECORDED_EVERY = timedelta(minutes=1)


class Tokens:
    """The tokens in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, role: Role, *, lifetime: timedelta | None = None) -> str:
        """Create and return a token; only its digest is stored.

        Args:
            name: Name of its user, a person or a program.
            role: Role of the token.
            lifetime: How long it is valid; None until it is revoked.

        Raises:
            TokenError: The name is invalid, reserved or in use; or the lifetime is not positive.
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
        """All tokens, sorted by name."""
        with self._database.snapshot() as session:
            return session.scalars(select(TokenRow).order_by(TokenRow.name)).all()

    def exist(self) -> bool:
        """Whether there is a token, valid or expired."""
        with self._database.snapshot() as session:
            return session.scalar(select(TokenRow.name).limit(1)) is not None

    def are_required(self) -> bool:
        """Whether there has been a token since the last ``waive``."""
        with self._database.snapshot() as session:
            is_kept = session.get(ProtectionRow, _REQUIRED) is not None
            return is_kept or session.scalar(select(TokenRow.name).limit(1)) is not None

    def waive(self) -> bool:
        """End the requirement of tokens; return whether there was one.

        Raises:
            TokenError: There are tokens.
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
        """Delete a token and its login sessions.

        Raises:
            TokenError: No token has that name.
        """
        if not self._remove(name):
            known = ", ".join(row.name for row in self.all()) or "none"
            raise TokenError(f"no token is named {name[:80]!r} (there are: {known})")

    def bootstrap(self, token: str | None) -> None:
        """Store the administrator's token from a file, or None; revoke the previous one."""
        with self._database.snapshot() as session:
            known = session.get(TokenRow, BOOTSTRAP)
        if known is not None and (token is None or known.digest != digest(token)):
            self._remove(BOOTSTRAP)
            known = None
        if token is not None and known is None:
            self._store(BOOTSTRAP, token, Role.ADMIN, None)

    def identify(self, token: str) -> Principal | None:
        """The principal of a token; None if the token is unknown or expired."""
        sought, now = digest(token), datetime.now(UTC)
        with self._database.snapshot() as session:
            row = session.scalar(select(TokenRow).where(TokenRow.digest == sought))
        if row is None or not hmac.compare_digest(row.digest, sought) or not is_valid(row, now):
            return None
        if row.last_used_at is None or now - row.last_used_at >= _USE_RECORDED_EVERY:
            with self._database.transaction() as session:
                used = update(TokenRow).where(TokenRow.digest == sought)
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
    """Whether a token has not expired."""
    return row.expires_at is None or now < row.expires_at
