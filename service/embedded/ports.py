"""The ports of one home: chosen once, remembered, and claimed against other supervisors."""

from __future__ import annotations

import errno
import fcntl
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from service.embedded.errors import EmbeddedError, PortInUseError
from service.embedded.home import runtime_folder

__all__ = ["WORKER_PORTS", "Ports", "claim_ports"]

WORKER_PORTS = 1_000
"""Ports in the range of Ray's workers; Ray itself looks for free ones in it."""

_LOOPBACK = "127.0.0.1"
# Linux gives outgoing connections ports from 32768 on: one of those is free now and taken later.
_LAST_PORT = 32_767
_FIRST_WORKER_PORT = 12_000


@dataclass(frozen=True, slots=True)
class Ports:
    """What listens where; ``ray_workers`` is the first of ``WORKER_PORTS``."""

    service: int
    mlflow: int
    ray_dashboard: int
    ray_gcs: int
    ray_client: int
    ray_node_manager: int
    ray_object_manager: int
    ray_agent_http: int
    ray_agent_grpc: int
    ray_runtime_env_agent: int
    ray_metrics: int
    ray_dashboard_metrics: int
    ray_workers: int


@contextmanager
def claim_ports(
    file: Path,
    *,
    host: str,
    first: int,
    fixed: Mapping[str, tuple[int, str]],
    on_move: Callable[[str], None],
) -> Iterator[Ports]:
    """Choose the ports and hold them against other supervisors of this user.

    Children bind their ports seconds after the choice; until then a lock a port keeps a second
    supervisor from choosing the same.

    Args:
        file: Where the choice is remembered. A remembered port is taken again when it is free.
        host: Address the service listens on; the others listen on loopback.
        first: Where the search for free ports starts.
        fixed: Ports the user set, by name: the port and the variable it came from.
        on_move: Called with a line for each remembered port that is no longer free.

    Raises:
        PortInUseError: A fixed port is taken.
    """
    names = [field.name for field in fields(Ports)]
    remembered = _read(file)
    chosen: dict[str, int] = {}
    with ExitStack() as claims:

        def claim(name: str, port: int) -> bool:
            lock = _claim(host if name == "service" else _LOOPBACK, port)
            if lock is None:
                return False
            claims.enter_context(lock)
            chosen[name] = port
            return True

        for name, (port, variable) in fixed.items():
            if not claim(name, port):
                raise PortInUseError(
                    f"Port {port}, set by {variable}, is in use. Free it or set another one."
                )
        # All remembered ones before the search, which would take them.
        for name in names:
            if name in remembered and name not in chosen:
                claim(name, remembered[name])
        for name in names:
            if name in chosen:
                continue
            workers = name == "ray_workers"
            start, step = (_FIRST_WORKER_PORT, WORKER_PORTS) if workers else (first, 1)
            if not any(claim(name, port) for port in range(start, _LAST_PORT, step)):
                raise PortInUseError(f"No free port for {name} between {start} and {_LAST_PORT}.")
            if name in remembered:
                on_move(
                    f"Port {remembered[name]} of {name} is in use; moved to port {chosen[name]}."
                )
        ports = Ports(**chosen)
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(ports), indent=2) + "\n")
        yield ports


def _read(file: Path) -> dict[str, int]:
    """Return the remembered ports; none when the file is missing or unreadable."""
    try:
        content = json.loads(file.read_text())
        return {name: port for name, port in content.items() if 0 < int(port) < 2**16}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _claim(host: str, port: int) -> IO[str] | None:
    """Lock a port among this user's supervisors when nothing listens on it."""
    folder = runtime_folder() / "ports"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = (folder / str(port)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the servers do: connections that linger after a stop do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except BlockingIOError:
        lock.close()
        return None
    except OSError as error:
        lock.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise EmbeddedError(f"Cannot listen on {host}, port {port}: {error.strerror}.") from error
    return lock
