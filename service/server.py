"""HTTP server: the application under uvicorn, with safe options.

``python -m service.server`` is the child process that the embedded mode starts. Host and port come
from the settings.
"""

from __future__ import annotations

import argparse

import uvicorn

from service.app import create_app
from service.security.request_timeout import ImpatientProtocol
from service.settings import Settings

__all__ = ["main", "run"]

_GRACE_SECONDS = 5
_MAX_CONNECTIONS = 1_000


def run(settings: Settings, *, grace_seconds: int = _GRACE_SECONDS) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: The service's settings.
        grace_seconds: Time that open requests, such as event streams, have to end after it.
    """
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=ImpatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=grace_seconds,
    )


def main() -> None:
    """Serve; command-line options override the settings of the environment."""
    parser = argparse.ArgumentParser(prog="python -m service.server")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--timeout-graceful-shutdown", type=int, default=_GRACE_SECONDS)
    options = parser.parse_args()
    given = {"host": options.host, "port": options.port}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    run(settings, grace_seconds=options.timeout_graceful_shutdown)


if __name__ == "__main__":
    main()
