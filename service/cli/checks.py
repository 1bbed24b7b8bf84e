"""What ``sasam doctor`` looks at: each check is a function that answers with a finding.

A check may raise; whoever runs it makes a finding of that, too.
"""

from __future__ import annotations

import json
import locale
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from service.first_line import first_line

if TYPE_CHECKING:
    from service.settings import Settings

__all__ = ["CHECKS", "Finding", "Level"]

_GIB = 2**30
_LEAST_MEMORY_BYTES = 2 * _GIB  # Ray, MLflow and the service together take about 1.5 GiB
_LEAST_SHARED_BYTES = 256 * 2**20  # Ray's object store: 200 MB, see EmbeddedSettings
_LEAST_OPEN_FILES = 4096  # Ray's own warning
_PROBE_SECONDS = 120.0
_ANSWER_SECONDS = 3.0
_PROBE = """
import json, torch
gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus,
                  "available": torch.cuda.is_available()}))
"""


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but slowly or not in every case."""
    ERROR = "error"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Attributes:
        level: How bad it is.
        message: What there is.
        remedy: What helps; empty where nothing is wrong.
    """

    level: Level
    message: str
    remedy: str = ""


Check = Callable[["Settings"], Finding]


def _ok(message: str) -> Finding:
    return Finding(Level.OK, message)


def _warning(message: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, message, remedy)


def _error(message: str, remedy: str) -> Finding:
    return Finding(Level.ERROR, message, remedy)


def _python(_: Settings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.platform != "linux":
        return _warning(f"{version} on {sys.platform}", "trials are tested on Linux alone")
    return _ok(f"{version} at {sys.executable}")


def _packages(_: Settings) -> Finding:
    """Whether what the extras need is there, in the versions they need."""
    from importlib.metadata import version

    wrong = list(_unmet())
    if wrong:
        return _error("; ".join(wrong), "pip install --upgrade 'sasam[workers,service]'")
    shown = ", ".join(f"{name} {version(name)}" for name in ("sasam", "ray", "mlflow", "optuna"))
    return _ok(f"{shown}, and all others as needed")


def _unmet() -> Iterator[str]:
    """Requirements of the extras that are not met."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    for line in requires("sasam") or ():
        needed = Requirement(line)
        extras = ({"extra": extra} for extra in ("", "workers", "service"))
        if needed.marker is not None and not any(map(needed.marker.evaluate, extras)):
            continue
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            yield f"{needed.name} is missing"
        else:
            if not needed.specifier.contains(found, prereleases=True):
                yield f"{needed.name} {found} is not {needed.specifier}"


def _torch(_: Settings) -> Finding:
    """PyTorch and its GPUs, in a process of its own: the command line holds no torch."""
    probe = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS
    )
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return _error(reason, "install PyTorch for this machine: https://pytorch.org/get-started")
    found = json.loads(probe.stdout.splitlines()[-1])
    if found["gpus"]:
        return _ok(f"{found['torch']}, CUDA {found['cuda']}, {', '.join(found['gpus'])}")
    if found["cuda"] and shutil.which("nvidia-smi"):
        return _error(
            f"{found['torch']} is built for CUDA {found['cuda']} and sees no GPU",
            "compare with the driver's CUDA version in nvidia-smi, and look at "
            "CUDA_VISIBLE_DEVICES",
        )
    return _ok(f"{found['torch']}, no GPU: trials train on the CPU")


def _home(settings: Settings) -> Finding:
    """Whether the home, or what it will be made in, can be written, and by its owner alone."""
    from service.embedded.home import runtime_folder
    from service.embedded.privacy import open_to_others

    home = settings.home.expanduser().absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return _error(f"{place} cannot be written", "set SASAM_HOME to a folder of yours")
    runtime_folder()  # raises with a remedy
    if place == home and open_to_others(home):
        mode = stat.S_IMODE(home.stat().st_mode)
        return _warning(
            f"{home} is open to other users of this machine (mode {mode:04o})",
            f"chmod -R go= {home}, or start the service, which does so for the folder",
        )
    return _ok(str(home) if place == home else f"{home} (made by `sasam up`)")


def _disk(settings: Settings) -> Finding:
    home = settings.home.expanduser().absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    message = f"{free / _GIB:.1f} GiB free at {place}"
    if free < settings.min_free_bytes:
        return _error(
            f"{message}; no sweep starts below {settings.min_free_bytes / _GIB:.1f}",
            "free some, or set SASAM_HOME to a larger disk",
        )
    return _ok(message)


def _database(settings: Settings) -> Finding:
    """Whether the database answers; one that is not there yet is made at the first start."""
    from sqlalchemy.exc import SQLAlchemyError

    from service.storage import Database

    remedy = "start it, or correct SASAM_DATABASE_URL"
    try:
        database = Database(settings.resolved_database_url)
    except SQLAlchemyError as error:
        return _error(first_line(error), remedy)
    shown = database.url.render_as_string(hide_password=True)
    with closing(database):
        if database.url.get_backend_name() == "sqlite":
            file = Path(database.url.database or "")
            if not file.exists():
                return _ok(f"{shown} (made at the first start)")
            if not os.access(file, os.W_OK):
                return _error(f"{file} cannot be written", f"chown it to you: chown $USER {file}")
        try:
            database.ping()
        except SQLAlchemyError as error:
            return _error(f"{shown}: {first_line(error)}", remedy)
    return _ok(shown)


def _access(settings: Settings) -> Finding:
    """Whether callers from elsewhere are expected and no token is there to know them by."""
    from service.security.authentication import exposure

    exposed_by = exposure(settings)
    if settings.admin_token_file is not None or settings.auth == "required":
        return _ok("callers need a token")
    has_token, is_required = _tokens(settings)
    if exposed_by is not None and not is_required:
        return _error(
            f"{exposed_by}, and there is no token: the service does not start",
            "sasam token create NAME --role admin",
        )
    if is_required and not has_token:
        return _warning(
            "callers need a token, and there is none", "sasam token create NAME --role admin"
        )
    return _ok("callers need a token" if is_required else "only this machine, without a token")


def _tokens(settings: Settings) -> tuple[bool, bool]:
    """Whether there is a token, and whether callers need one; asks without changing anything."""
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
        except SQLAlchemyError:  # not filled yet, or away, which the check of the database shows
            return False, False
        try:
            return has_token, tokens.are_required()
        except SQLAlchemyError:  # of an earlier version, which kept no requirement
            return has_token, has_token


def _service(settings: Settings) -> Finding:
    """Whether a service answers, or one could listen; and whether it finds its neighbours."""
    import httpx

    from service.cli.connection import service_address
    from service.client import Client, ClientError

    url = service_address()
    port = url.rpartition(":")[2]
    try:
        ready = httpx.get(f"{url}/readyz", timeout=_ANSWER_SECONDS, trust_env=False).json()
        problems = {name: state for name, state in ready["checks"].items() if state != "ok"}
    except httpx.ConnectError:
        return _ok(f"none runs; {url} is free")
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return _error(
            f"{url} answers, and not as sasam does",
            f"another program has port {port}: set SASAM_PORT, or start with --port",
        )
    if problems:
        told = "; ".join(f"{name}: {state}" for name, state in problems.items())
        return _error(f"{url} runs, but {told}", "start them, or see their logs in SASAM_HOME/logs")
    try:
        with Client(url, patience_seconds=0) as client:
            next(client.sweeps.browse(page_size=1), None)
    except ClientError as error:
        return _error(f"{url} runs, but refuses: {error}", "put a token in SASAM_TOKEN")
    return _ok(f"{url} runs; database, Ray and MLflow answer")


def _ports(settings: Settings) -> Finding:
    """Whether this machine can listen at all where the service would."""
    with socket.socket() as probe:
        try:
            probe.bind((settings.host if "." in settings.host else "127.0.0.1", 0))
        except OSError as error:
            return _error(
                f"{settings.host} cannot be listened on: {(error.strerror or '').lower()}",
                "set SASAM_HOST to an address of this machine",
            )
    return _ok(f"{settings.host} can be listened on")


def _memory(_: Settings) -> Finding:
    available = _memory_bytes()
    message = f"{available / _GIB:.1f} GiB available"
    if available < _LEAST_MEMORY_BYTES:
        least = _LEAST_MEMORY_BYTES // _GIB
        return _warning(f"{message}, less than {least}", "close programs, or raise the limit")
    return _ok(message)


def _memory_bytes() -> int:
    """Available memory; where a container may have less, what it has left."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":") for line in lines)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such limit
        return available
    return min(available, limit - used)


def _shared_memory(_: Settings) -> Finding:
    folder = Path("/dev/shm")  # noqa: S108 - where Ray keeps its objects
    if not folder.is_dir():
        return _warning(f"there is no {folder}", "Ray keeps objects on disk instead, slowly")
    free = shutil.disk_usage(folder).free
    message = f"{free / 2**20:.0f} MiB free at {folder}"
    if free < _LEAST_SHARED_BYTES:
        return _warning(message, "start the container with --shm-size=1g")
    return _ok(message)


def _open_files(_: Settings) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _LEAST_OPEN_FILES:
        can_raise = hard == resource.RLIM_INFINITY or hard >= _LEAST_OPEN_FILES
        remedy = f"ulimit -n {_LEAST_OPEN_FILES}" if can_raise else "raise the system's limit"
        return _warning(f"at most {soft}", remedy)
    return _ok(f"at most {'any number' if soft == resource.RLIM_INFINITY else soft}")


def _locale(_: Settings) -> Finding:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        return _warning(f"text is {encoding}", "export LC_ALL=C.UTF-8")
    return _ok(f"text is {encoding}")


CHECKS: dict[str, Check] = {
    "Python": _python,
    "packages": _packages,
    "PyTorch": _torch,
    "home": _home,
    "disk": _disk,
    "database": _database,
    "access": _access,
    "service": _service,
    "address": _ports,
    "memory": _memory,
    "shared memory": _shared_memory,
    "open files": _open_files,
    "locale": _locale,
}
"""The checks by the name of what they look at, in the order they are shown."""
