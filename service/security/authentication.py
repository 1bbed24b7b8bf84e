"""Authentication of callers, and whether they need a token.

Callers need a token as soon as the first one was created, or if a setting requires it. The database
stores that there was a token: revoking or expiring the last one does not open the service again.
While no token is required, the service answers only callers on this machine: it refuses to listen
beyond loopback, and refuses settings that are of use only behind a proxy.
"""

from __future__ import annotations

import time
from datetime import timedelta

from service.security.access import LOCAL, Principal
from service.security.errors import ExposedError
from service.security.locality import is_loopback
from service.security.secrets import read_secret
from service.security.sessions import Sessions
from service.security.tokens import Tokens
from service.settings import Settings
from service.storage import Database

__all__ = ["Authentication", "exposure", "prepare"]

_RECHECK_SECONDS = 1.0


class Authentication:
    """Identifies callers by token or session.

    Args:
        database: The database with tokens and sessions.
        settings: Whether tokens are required, and the file with the administrator's token.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self.tokens = Tokens(database)
        self.sessions = Sessions(database, timedelta(hours=settings.session_hours))
        self._settings = settings
        self._is_required = settings.auth == "required"
        self._checked_at = float("-inf")

    def prepare(self) -> None:
        """Store the administrator's token; refuse to be reachable by others without tokens.

        Raises:
            SecretFileError: The administrator's token cannot be read.
            ExposedError: There are no tokens and other machines could reach the service.
        """
        path = self._settings.admin_token_file
        self.tokens.bootstrap(read_secret(path, "SASAM_ADMIN_TOKEN_FILE") if path else None)
        exposed_by = exposure(self._settings)
        if exposed_by is None or self.tokens.exist():
            return
        # On loopback with tokens required, every caller gets 401 until a token is created.
        if not is_loopback(self._settings.host) or not self.is_required():
            raise ExposedError(
                f"{exposed_by}: the service needs a token: create one with `sasam token create "
                "NAME --role admin`, or name a file with one in SASAM_ADMIN_TOKEN_FILE"
            )

    def is_required(self) -> bool:
        """Whether callers need a token; once True, it remains so until the service ends."""
        if not self._is_required and time.monotonic() - self._checked_at >= _RECHECK_SECONDS:
            self._is_required = self.tokens.are_required()
            self._checked_at = time.monotonic()
        return self._is_required

    def caller(self, authorization: str | None, cookie: str | None) -> Principal | None:
        """The caller; ``LOCAL`` if no token is required, None if unauthenticated."""
        return self.identify(authorization, cookie) if self.is_required() else LOCAL

    def identify(self, authorization: str | None, cookie: str | None) -> Principal | None:
        """The owner of the token in this header, or else of this cookie; None if invalid."""
        if authorization is None:
            return self.sessions.identify(cookie) if cookie else None
        scheme, _, token = authorization.partition(" ")
        return self.tokens.identify(token.strip()) if scheme.lower() == "bearer" else None


def prepare(settings: Settings) -> None:
    """Migrate the database and do what ``Authentication.prepare`` does, before a start.

    Raises:
        SchemaError: A newer version wrote the database.
        SecurityError: The service may not start with these settings and tokens.
    """
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        Authentication(database, settings).prepare()
    finally:
        database.close()


def exposure(settings: Settings) -> str | None:
    """The setting that lets other machines reach the service, in words; None without one."""
    if not is_loopback(settings.host):
        return f"SASAM_HOST is {settings.host or 'every address'}, which other machines reach"
    for name, value in (
        ("SASAM_TRUSTED_PROXIES", settings.trusted_proxies),
        ("SASAM_ALLOWED_HOSTS", settings.allowed_hosts),
    ):
        if value:
            shown = ",".join(value)[:80]
            return f"{name} is {shown}, so callers from other machines are expected"
    return None
