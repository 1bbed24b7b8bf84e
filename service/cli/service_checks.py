"""Checks of ``sasam doctor`` on the service: home, disk, database, tokens, address."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from contextlib import closing
from pathlib import Path

from service.cli.findings import Finding, error, ok, warning
from service.first_line import first_line
from service.settings import Settings

__all__ = [
    "check_access",
    "check_address",
    "check_database",
    "check_disk",
    "check_home",
    "check_service",
]

_GIB = 2**30
_ANSWER_TIMEOUT_SECONDS = 3.0


def check_home(settings: Settings) -> Finding:
    """Check that the home can be written, and by its owner only."""
    from service.embedded.home import runtime_folder
    from service.embedded.privacy import open_to_others

    home, existing = _home_folders(settings)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return error(f"{existing} cannot be written", "set SASAM_HOME to a folder of yours")
    runtime_folder()  # raises with a remedy
    if existing == home and open_to_others(home):
        mode = stat.S_IMODE(home.stat().st_mode)
        return warning(
            f"{home} is open to other users of this machine (mode {mode:04o})",
            f"chmod -R go= {home}, or start the service, which does so for the folder",
        )
    return ok(str(home) if existing == home else f"{home} (created by `sasam up`)")


def check_disk(settings: Settings) -> Finding:
    """Check that the disk has enough free space for sweeps to start."""
    _, existing = _home_folders(settings)
    free = shutil.disk_usage(existing).free
    message = f"{free / _GIB:.1f} GiB free at {existing}"
    if free < settings.min_free_bytes:
        return error(
            f"{message}; no sweep starts below {settings.min_free_bytes / _GIB:.1f}",
            "free some, or set SASAM_HOME to a larger disk",
        )
    return ok(message)


def _home_folders(settings: Settings) -> tuple[Path, Path]:
    """Return the home, and the folder nearest to it that exists: itself or a parent."""
    home = settings.home.expanduser().absolute()
    return home, next(folder for folder in (home, *home.parents) if folder.exists())


def check_database(settings: Settings) -> Finding:
    """Check that the database answers; a missing SQLite file is created at the first start."""
    from sqlalchemy.exc import SQLAlchemyError

    from service.storage import Database

    remedy = "start it, or correct SASAM_DATABASE_URL"
    try:
        database = Database(settings.resolved_database_url)
    except SQLAlchemyError as failure:
        return error(first_line(failure), remedy)
    shown = database.url.render_as_string(hide_password=True)
    with closing(database):
        if database.url.get_backend_name() == "sqlite":
            file = Path(database.url.database or "")
            if not file.exists():
                return ok(f"{shown} (created at the first start)")
            if not os.access(file, os.W_OK):
                return error(f"{file} cannot be written", f"make it yours: chown $USER {file}")
        try:
            database.ping()
        except SQLAlchemyError as failure:
            return error(f"{shown}: {first_line(failure)}", remedy)
    return ok(shown)


def check_access(settings: Settings) -> Finding:
    """Check that a service which is reachable from other machines requires tokens."""
    from service.security.authentication import exposure

    exposed_by = exposure(settings)
    if settings.admin_token_file is not None or settings.auth == "required":
        return ok("callers need a token")
    has_token, is_required = _token_requirement(settings)
    if exposed_by is not None and not is_required:
        return error(
            f"{exposed_by}, and there is no token: the service does not start",
            "sasam token create NAME --role admin",
        )
    if is_required and not has_token:
        return warning(
            "callers need a token, and there is none", "sasam token create NAME --role admin"
        )
    return ok("callers need a token" if is_required else "only this machine, without a token")


def _token_requirement(settings: Settings) -> tuple[bool, bool]:
    """Return whether there is a token and whether callers need one; changes nothing."""
    from sqlalchemy.exc import SQLAlchemyError

    from service.security.tokens import Tokens
    from service.storage import Database

    database = Database(settings.resolved_database_url)
    with closing(database):
        if (
            database.url.get_backend_name() == "sqlite"
            and not Path(database.url.database or "").exists()
        ):
            return False, False
        tokens = Tokens(database)
        try:
            has_token = tokens.exist()
        except SQLAlchemyError:  # no tables yet, or unreachable, which check_database reports
            return False, False
        try:
            return has_token, tokens.are_required()
        except SQLAlchemyError:  # of an earlier version, which did not store the requirement
            return has_token, has_token


def check_service(settings: Settings) -> Finding:
    """Check that a service answers and reaches its dependencies, or that its port is free."""
    import httpx

    from service.cli.connection import service_address
    from service.client import Client, ClientError

    url = service_address()
    try:
        answer = httpx.get(f"{url}/readyz", timeout=_ANSWER_TIMEOUT_SECONDS, trust_env=False)
        states = answer.json()["checks"].items()
    except httpx.ConnectError:
        return ok(f"not running; {url} is free")
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return _port_in_use(settings, url)
    problems = "; ".join(f"{name}: {state}" for name, state in states if state != "ok")
    if problems:
        remedy = "start them, or see their logs in SASAM_HOME/logs"
        return error(f"{url} runs, but {problems}", remedy)
    try:
        with Client(url, retry_seconds=0) as client:
            next(client.sweeps.browse(page_size=1), None)
    except ClientError as failure:
        return error(f"{url} runs, but refuses: {failure}", "put a token in SASAM_TOKEN")
    return ok(f"{url} runs; database, Ray and MLflow answer")


def _port_in_use(settings: Settings, url: str) -> Finding:
    """Report that another program uses the port: an error only if the user set that port."""
    message = f"{url} answers, but not as sasam does: another program uses the port"
    if "port" in settings.model_fields_set:
        return error(message, "set SASAM_PORT to a free port, or unset it for `sasam up`")
    return warning(message, "`sasam up` takes a free port; set SASAM_PORT for `sasam serve`")


def check_address(settings: Settings) -> Finding:
    """Check that the service's address belongs to this machine."""
    with socket.socket() as probe:
        try:
            probe.bind((settings.host if "." in settings.host else "127.0.0.1", 0))
        except OSError as failure:
            return error(
                f"cannot listen on {settings.host}: {(failure.strerror or '').lower()}",
                "set SASAM_HOST to an address of this machine",
            )
    return ok(f"can listen on {settings.host}")
