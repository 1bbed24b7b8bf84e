"""Services as processes of their own that share a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from .ports import closed_url, free_port
from .waiting import wait_until

__all__ = ["Replica", "start_replica"]

LEASE_SECONDS = 1.5


@dataclass
class Replica:
    """One of the services."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def leader(self) -> str | None:
        """Who leads, as this service says."""
        name: str | None = httpx.get(f"{self.url}/readyz", timeout=30).json()["leader"]
        return name

    @property
    def leads(self) -> bool:
        """Whether it is this one."""
        return f"-{self.process.pid}-" in (self.leader or "")

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    def wait_until(self, is_so: Callable[[], bool], *, seconds: float = 60) -> None:
        """Wait for a condition."""
        wait_until(is_so, seconds=seconds, explain=self.log.read_text)


def start_replica(home: Path, database_url: str) -> Replica:
    """Start a service as a process of its own; Ray and MLflow refuse connections."""
    port, closed = free_port(), closed_url()
    settings = {
        "HOME": home,
        "PORT": port,
        "DATABASE_URL": database_url,
        "RAY_ADDRESS": closed,
        "MLFLOW_TRACKING_URI": closed,
        "RECONCILE_SECONDS": 0.05,
        "LEASE_SECONDS": LEASE_SECONDS,
    }
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.server"],
            env=os.environ | {f"SASAM_{name}": str(value) for name, value in settings.items()},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Replica(process, f"http://127.0.0.1:{port}", log)
