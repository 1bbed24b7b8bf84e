"""The product under test: `sasam up`, a second Ray node, and all their processes by role."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from relay import Relay

MARK = "SASAM_SUPERVISED_BY"
NODE = "SASAM_CHAOS_NODE"
NODE_ADDRESS = "127.0.0.2"
START_SECONDS = 180


class Stack:
    """One home, its supervisor, and a worker node that comes back when it dies."""

    def __init__(self, home: Path, *, cpus: int = 1) -> None:
        self.home = home
        self._cpus = cpus
        self._bin = Path(sys.executable).parent
        self._log = (home.parent / "chaos.log").open("ab")
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_node, daemon=True)

    @contextmanager
    def running(self, *, second_node: bool = True) -> Iterator[None]:
        """Run everything while the block runs; nothing is left behind."""
        self.start_supervisor()
        if second_node:
            Relay(NODE_ADDRESS, "127.0.0.1", self.ports["ray_gcs"])
            self._keeper.start()
        try:
            yield
        finally:
            self._stopping.set()
            if second_node:
                self._keeper.join()
            self.end_supervisor()
            for pid in self._carrying(f"{NODE}={self.home}"):
                kill(pid)
            self._log.close()

    def start_supervisor(self) -> None:
        """Run `sasam up` and wait until the service answers."""
        environment = os.environ | {"SASAM_HOME": str(self.home), "SASAM_CPUS": str(self._cpus)}
        self._supervisor = subprocess.Popen(
            [str(self._bin / "sasam"), "up"], env=environment, stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline or self._supervisor.poll() is not None:
                raise RuntimeError(f"`sasam up` did not start; see {self._log.name}")
            time.sleep(0.2)

    def end_supervisor(self) -> None:
        """End `sasam up` as a user does."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.send_signal(signal.SIGTERM)
            self._supervisor.wait(60)

    def is_ready(self) -> bool:
        """Whether the service answers and reaches its neighbours."""
        try:
            return httpx.get(f"{self.url('service')}/readyz", timeout=5).is_success
        except (OSError, ValueError, httpx.HTTPError):
            return False

    def url(self, name: str) -> str:
        """Address of the service or of MLflow."""
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def ports(self) -> dict[str, int]:
        """What listens where."""
        return json.loads((self.home / "ports.json").read_text())

    @property
    def supervisor(self) -> int:
        """Process of `sasam up`."""
        assert self._supervisor is not None
        return self._supervisor.pid

    def child(self, name: str) -> list[int]:
        """The process that the supervisor started as its child of this name."""
        marked = self._carrying(f"SASAM_HOME={self.home}")
        return [pid for pid in marked if _mark(pid).endswith(f".{name}") and os.getsid(pid) == pid]

    def ray(self, *titles: str) -> list[int]:
        """Ray's processes, on both nodes, whose command line holds one of the titles."""
        marked = self._carrying(f"SASAM_HOME={self.home}") + self.node()
        return [pid for pid in marked if any(title in command(pid) for title in titles)]

    def node(self) -> list[int]:
        """All processes of the second node."""
        return self._carrying(f"{NODE}={self.home}")

    def _keep_node(self) -> None:
        """Start the second node whenever it is not there, as a container's policy would."""
        while not self._stopping.wait(0.5):
            if self._node is None or self._node.poll() is not None:
                for pid in self.node():
                    kill(pid)
                with suppress(OSError, ValueError, KeyError):
                    self._node = self._start_node()

    def _start_node(self) -> subprocess.Popen[bytes]:
        head = self.child("ray")
        folder = _option(head[0], "--temp-dir") if head else ""
        if not folder:
            raise OSError("no head to join")
        options = {
            "address": f"{NODE_ADDRESS}:{self.ports['ray_gcs']}",
            "node-ip-address": NODE_ADDRESS,
            "num-cpus": 1,
            "object-store-memory": 100_000_000,
            "temp-dir": folder,
        }
        environment = os.environ | {
            NODE: str(self.home),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.home / "ray-token"),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "SPT_NOENV": "1",
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    @staticmethod
    def _carrying(variable: str) -> list[int]:
        """Processes with a variable in their environment."""
        entry = f"\0{variable}\0".encode()
        return [pid for pid in _processes() if entry in b"\0" + _environment(pid)]


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def command(pid: int) -> str:
    """A process's command line; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _processes() -> list[int]:
    own = os.getpid()
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and int(p.name) != own]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _mark(pid: int) -> str:
    for entry in _environment(pid).split(b"\0"):
        if entry.startswith(f"{MARK}=".encode()):
            return entry.decode().partition("=")[2]
    return ""


def _option(pid: int, name: str) -> str:
    """The value of an option on a command line."""
    for word in command(pid).split():
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""
