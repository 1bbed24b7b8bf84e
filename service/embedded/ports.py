"""Ports of one home: chosen once, stored in a file, and locked against other supervisors."""

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
"""Size of the port range of Ray's workers, in which Ray finds free ports itself."""

_LOOPBACK = "127.0.0.1"
# Linux assigns ports from 32768 to outgoing connections: a port free now may be in use later.
_LAST_PORT = 32_767
_FIRST_WORKER_PORT = 12_000


@dataclass(frozen=True, slots=True)
class Ports:
    """Port of each server; ``ray_workers`` is the first of ``WORKER_PORTS`` ports."""

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
    """Choose the ports and lock them against other supervisors of this user.

    Children bind their ports seconds after the choice; until then one lock per port keeps a second
    supervisor from choosing the same port.

    Args:
        file: The file that stores the choice. A stored port is chosen again if it is free.
        host: Address the service listens on; the other servers listen on loopback.
        first: First port of the search for free ports.
        fixed: Ports set by the user, by name: the port and the variable that set it.
        on_move: Called with one line for each stored port that is in use.

    Raises:
        PortInUseError: A fixed port is in use.
    """
    names = [field.name for field in fields(Ports)]
    stored = _read(file)
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
        # All stored ports before the search, which could choose them.
        for name in names:
            if name in stored and name not in chosen:
                claim(name, stored[name])
        for name in names:
            if name in chosen:
                continue
            workers = name == "ray_workers"
            start, step = (_FIRST_WORKER_PORT, WORKER_PORTS) if workers else (first, 1)
            if not any(claim(name, port) for port in range(start, _LAST_PORT, step)):
                raise PortInUseError(f"No free port for {name} between {start} and {_LAST_PORT}.")
            if name in stored:
                on_move(f"Port {stored[name]} of {name} is in use; moved to port {chosen[name]}.")
        ports = Ports(**chosen)
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(ports), indent=2) + "\n")
        yield ports


def _read(file: Path) -> dict[str, int]:
    """Return the stored ports; empty if the file is missing or unreadable."""
    try:
        content = json.loads(file.read_text())
        return {name: port for name, port in content.items() if 0 < int(port) < 2**16}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _claim(host: str, port: int) -> IO[str] | None:
    """Lock a port among this user's supervisors; None if it is locked or in use."""
    folder = runtime_folder() / "ports"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = (folder / str(port)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the servers do: closed connections in TIME_WAIT do not count.
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
