"""uvicorn server of the application, with safe options, and the checks before it starts.

``python -m service.server`` is the program of the embedded mode's child.
"""

from __future__ import annotations

import argparse

import uvicorn
from pydantic import ValidationError

from service.embedded.errors import EmbeddedError
from service.embedded.privacy import tighten
from service.first_line import first_line
from service.security.authentication import exposure, prepare
from service.security.errors import SecurityError
from service.security.request_timeout import RequestTimeoutProtocol
from service.settings import Settings, describe_invalid
from service.storage import DATABASE_UNAVAILABLE, SchemaError, require_known_schema
from service.webhooks.delivery import read_key

__all__ = ["main", "require_startable", "run"]

_GRACE_SECONDS = 5
_MAX_CONNECTIONS = 1_000
_FAILED = 1
_USAGE = 2


def run(settings: Settings, *, grace_seconds: int = _GRACE_SECONDS) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: The service's settings.
        grace_seconds: How long open requests, such as event streams, may continue after that.
    """
    from service.app import create_app  # slow to import; ``sasam up`` needs only the checks

    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=RequestTimeoutProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=grace_seconds,
    )


def require_startable(settings: Settings) -> None:
    """Check that the service may start: its home, its secrets, its tokens, its database's schema.

    Raises:
        SecurityError: A token that is needed is missing, or a secret cannot be read.
        SchemaError: A newer version wrote the database.
        HomeError: The home belongs to another user.
    """
    tighten(settings.home)
    read_key(settings)
    if exposure(settings) is not None or settings.admin_token_file is not None:
        prepare(settings)
    else:
        require_known_schema(settings.resolved_database_url)


def main() -> None:
    """Serve with uvicorn's options on the command line; the settings are in the environment.

    A service that may not start prints one line and ends with status 2 if a setting or a token has
    to change, else with status 1.
    """
    parser = argparse.ArgumentParser(prog="python -m service.server")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--timeout-graceful-shutdown", type=int, default=_GRACE_SECONDS)
    options = parser.parse_args()
    given = {"host": options.host, "port": options.port}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        require_startable(settings)
    except ValidationError as error:
        parser.exit(_USAGE, f"sasam: {'; '.join(describe_invalid(error))}\n")
    except SecurityError as error:
        parser.exit(_USAGE, f"sasam: {error}\n")
    except (SchemaError, EmbeddedError) as error:
        parser.exit(_FAILED, f"sasam: {error}\n")
    except DATABASE_UNAVAILABLE as error:
        parser.exit(_FAILED, f"sasam: the database does not answer: {first_line(error)}\n")
    run(settings, grace_seconds=options.timeout_graceful_shutdown)


if __name__ == "__main__":
    main()
