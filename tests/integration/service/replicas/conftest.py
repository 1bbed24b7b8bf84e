"""Two services, processes of their own, on one PostgreSQL."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.postgresql import running_postgresql

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
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    with running_postgresql() as url:
        yield url


@pytest.fixture(scope="module")
def replicas(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> Iterator[list[Replica]]:
    """Both services, ready; Ray and MLflow do not answer."""
    homes = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    started = [_start(home, database_url) for home in homes]
    try:
        for replica in started:
            replica.wait_until(lambda url=replica.url: _answers(url), seconds=300)  # type: ignore[misc]
        yield started
    finally:
        for replica in started:
            with suppress(ProcessLookupError):
                replica.signal(signal.SIGCONT)
                replica.signal(signal.SIGTERM)
        for replica in started:
            replica.process.wait(30)


@pytest.fixture
def switch(database_url: str) -> Callable[[str], None]:
    """Make the database read-only (``on``), or not (``off``), for who connects from now on."""

    def make(read_only: str) -> None:
        engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("set default_transaction_read_only = off"))
            name = connection.scalar(text("select current_database()"))
            connection.execute(
                text(f'alter database "{name}" set default_transaction_read_only = {read_only}')
            )
            connection.execute(
                text(
                    "select pg_terminate_backend(pid, 30000) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        engine.dispose()

    return make


def _start(home: Path, database_url: str) -> Replica:
    ports = [_free_port() for _ in range(2)]
    nowhere = f"http://127.0.0.1:{ports[1]}"
    settings = {
        "HOME": home,
        "PORT": ports[0],
        "DATABASE_URL": database_url,
        "RAY_ADDRESS": nowhere,
        "MLFLOW_TRACKING_URI": nowhere,
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
    return Replica(process, f"http://127.0.0.1:{ports[0]}", log)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
