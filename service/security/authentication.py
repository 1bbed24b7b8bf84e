"""Whether callers must show who they are, and who they are.

Callers need a token as soon as there is one, or a setting says so. Without any the service is for
those at this machine alone: it refuses to listen beyond loopback, and to answer there.
"""

from __future__ import annotations

import time
from datetime import timedelta
from ipaddress import ip_address

from service.security.access import LOCAL, Principal
from service.security.errors import ExposedError
from service.security.secrets import read_secret
from service.security.sessions import Sessions
from service.security.tokens import Tokens
from service.settings import Settings
from service.storage import Database

__all__ = ["Authentication", "is_loopback", "prepare"]

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
        """Take in the administrator's token, and see that the service is not open to the world.

        Raises:
            SecretFileError: The administrator's token cannot be read.
            ExposedError: There are no tokens and other machines could reach the service.
        """
        path = self._settings.admin_token_file
        self.tokens.bootstrap(read_secret(path, "SASAM_ADMIN_TOKEN_FILE") if path else None)
        host = self._settings.host
        if not is_loopback(host) and not self.tokens.exist():
            raise ExposedError(
                f"to listen on {host or 'every address'}, which other machines reach, the service "
                "needs a token: create one with `sasam token create NAME --role admin`, or name a "
                "file with one in SASAM_ADMIN_TOKEN_FILE"
            )

    def is_required(self) -> bool:
        """Whether a token is needed; once it is, it stays so until the service ends."""
        if not self._is_required and time.monotonic() - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._is_required = self.tokens.exist()
            self._looked_at = time.monotonic()
        return self._is_required

    def caller(self, authorization: str | None, cookie: str | None) -> Principal | None:
        """Who asks: the local administrator where no token is required; None for nobody."""
        return self.identify(authorization, cookie) if self.is_required() else LOCAL

    def identify(self, authorization: str | None, cookie: str | None) -> Principal | None:
        """Who shows this header, or else this cookie; None for nobody."""
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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
