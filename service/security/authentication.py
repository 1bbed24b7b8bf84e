"""Whether callers must authenticate, and who they are.

Callers need a token from the first token on, or when a setting says so. The database remembers that
there was a token: revoking or expiring the last one does not open the service again. As long as no
token is required, the service answers only callers on this machine: it refuses to listen beyond
loopback, and refuses settings that only make sense behind a proxy.
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

_LOOK_AGAIN_SECONDS = 1.0


class Authentication:
    """Who asks.

    Args:
        database: Where tokens and sessions are kept.
        settings: Whether tokens are required, and the administrator's.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self.tokens = Tokens(database)
        self.sessions = Sessions(database, timedelta(hours=settings.session_hours))
        self._settings = settings
        self._is_required = settings.auth == "required"
        self._looked_at = float("-inf")

    def prepare(self) -> None:
        """Store the administrator's token, and refuse to be reachable without tokens.

        Raises:
            SecretFileError: The administrator's token cannot be read.
            ExposedError: There are no tokens and other machines could reach the service.
        """
        path = self._settings.admin_token_file
        self.tokens.bootstrap(read_secret(path, "SASAM_ADMIN_TOKEN_FILE") if path else None)
        exposed_by = exposure(self._settings)
        if exposed_by is None or self.tokens.exist():
            return
        # Behind a proxy a service without tokens answers 401: safe, and tokens can come later.
        if not is_loopback(self._settings.host) or not self.is_required():
            raise ExposedError(
                f"{exposed_by}: the service needs a token: create one with `sasam token create "
                "NAME --role admin`, or name a file with one in SASAM_ADMIN_TOKEN_FILE"
            )

    def is_required(self) -> bool:
        """Whether a token is needed; once it is, it remains so until the service ends."""
        if not self._is_required and time.monotonic() - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._is_required = self.tokens.are_required()
            self._looked_at = time.monotonic()
        return self._is_required

    def caller(self, authorization: str | None, cookie: str | None) -> Principal | None:
        """The caller: the local administrator if no token is required; None if unknown."""
        return self.identify(authorization, cookie) if self.is_required() else LOCAL

    def identify(self, authorization: str | None, cookie: str | None) -> Principal | None:
        """The owner of the token in this header, or else of this cookie; None if invalid."""
        if authorization is None:
            return self.sessions.identify(cookie) if cookie else None
        scheme, _, token = authorization.partition(" ")
        return self.tokens.identify(token.strip()) if scheme.lower() == "bearer" else None


def prepare(settings: Settings) -> None:
    """Bring the database up to date and check what ``Authentication.prepare`` does, before a start.

    Raises:
        SchemaError: The database was written by a newer version.
        SecurityError: The service may not start like this.
    """
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        Authentication(database, settings).prepare()
    finally:
        database.close()


def exposure(settings: Settings) -> str | None:
    """The setting by which callers on other machines reach the service; None if there is none."""
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
