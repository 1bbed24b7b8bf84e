"""How many requests per second the service answers, and how long they take.

    python tests/benchmarks/bench_service.py --output docs/benchmarks.md

It serves one sweep of made-up trials from a process of its own, on SQLite and on PostgreSQL, with
10 and with 10,000 trials. One client measures how long an answer takes (median and 95th
percentile); eight clients together measure how many requests per second are answered. Clients and
service share the machine. Writes a section of the page.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise, product
from pathlib import Path

import httpx
import numpy as np
from bench_summaries import store
from page import machine, write_section

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition
from tests.support.ports import free_port
from tests.support.postgresql import PostgresqlServer
from tests.support.running_service import offline_settings

HEADING = "## Requests"
ABOUT = (
    "One service process with an ended sweep; clients and service share the machine. Median and"
    " 95th percentile are of one client that asks again at once. Events: the whole stream, which"
    " ends with the sweep."
)
CLIENTS = 8
SIZES = {10: (2, 1, 1), 10_000: (20, 20, 5)}
"""Learning rates, weight decays and seeds for five optimizers, by the number of trials."""
QUESTIONS = {
    "list": "/api/v1/sweeps",
    "sweep": "/api/v1/sweeps/{id}",
    "page of trials": "/api/v1/sweeps/{id}/trials",
    "page of trials, HTML": "/sweeps/{id}/trials",
    "summary": "/api/v1/sweeps/{id}/summary",
    "events": "/api/v1/sweeps/{id}/events",
}


LIFE = (SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING, SweepState.COMPLETED)


def main() -> None:
    """Measure, and write the section of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="per row and load")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    begin = [HEADING, "", f"Made by `tests/benchmarks/bench_service.py`: {machine()}.", ABOUT, ""]
    write_section(arguments.output, HEADING, "\n".join(begin + table(arguments.seconds)))


def table(seconds: float) -> list[str]:
    """The lines of the table, which are printed as well."""
    lines = [
        "| database | trials | answer | median ms | p95 ms | requests/s, 8 clients | kB |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    with ExitStack() as stack:
        folder, of_postgresql = (
            stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            for _ in range(2)
        )
        postgresql = PostgresqlServer(Path(of_postgresql))
        stack.callback(postgresql.stop)
        for kind, trials in product(("SQLite", "PostgreSQL"), SIZES):
            database = {"database_url": postgresql.create_database()} if kind != "SQLite" else {}
            home = Path(folder) / f"{kind}-{trials}"
            settings = offline_settings(home, port=free_port(), **database)
            with serve(settings, trials) as (url, sweep_id):
                for question, path in QUESTIONS.items():
                    found = measure(url + path.format(id=sweep_id), seconds)
                    lines.append(f"| {kind} | {trials:,} | {question} | {found} |")
                    print(lines[-1], flush=True)
    return lines


def measure(address: str, seconds: float) -> str:
    """The numbers of a row: of one client at a time, and of several together."""
    alone, size = asyncio.run(ask_repeatedly(address, seconds, clients=1))
    together, _ = asyncio.run(ask_repeatedly(address, seconds, clients=CLIENTS))
    median, slow = np.percentile(alone, [50, 95]) * 1e3
    return f"{median:.1f} | {slow:.1f} | {len(together) / seconds:,.0f} | {size / 1e3:,.0f}"


async def ask_repeatedly(address: str, seconds: float, clients: int) -> tuple[list[float], int]:
    """Seconds of each answer that some clients received, and the bytes of one."""
    answers: list[float] = []
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        size = len((await http.get(address)).raise_for_status().content)
        until = time.perf_counter() + seconds

        async def ask() -> None:
            while (start := time.perf_counter()) < until:
                (await http.get(address)).raise_for_status()
                answers.append(time.perf_counter() - start)

        await asyncio.gather(*(ask() for _ in range(clients)))
    return answers, size


@contextmanager
def serve(settings: Settings, trials: int) -> Iterator[tuple[str, str]]:
    """A service in a process of its own, with one ended sweep; gives its address and the sweep."""
    database = Database(settings.resolved_database_url)
    database.migrate()
    sweep_id = store(database, settings, *SIZES[trials])
    with database.transaction() as session:
        for before, after in pairwise(LIFE):
            transition(session, sweep_id, before, after)
    database.close()
    given = settings.model_dump(mode="json", exclude_unset=True)
    environment = os.environ | {f"SASAM_{name.upper()}": str(given[name]) for name in given}
    command = [sys.executable, "-m", "uvicorn", "service.app:create_app", "--factory"]
    options = ["--port", str(settings.port), "--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen([*command, *options], env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{settings.port}"
    try:
        wait_until_healthy(f"{url}/healthz", process)
        yield url, sweep_id
    finally:
        process.terminate()
        process.wait()


def wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the service to answer.

    Raises:
        RuntimeError: It ended, or is silent for a minute.
    """
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode}")
        try:
            httpx.get(address, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{address} did not answer for a minute")


if __name__ == "__main__":
    main()
