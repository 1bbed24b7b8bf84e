"""Let many clients read a sweep while it runs, and hold it against one that nobody reads.

    python tests/chaos/readers.py --clients 200 --seconds 60

Each client has a token of its own, keeps the stream of events open and reads the summary about once
a second. No request may fail, all must hear the same events in the same order, and the sweep must
end with the final metrics of the calm one, bit for bit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from stack import Stack
from sweep import TRIALS, calm, ended_trials, submit, wait
from verdict import judge

from service.client import AsyncClient
from service.security.access import Role
from service.security.tokens import Tokens
from service.storage import Database


@dataclass
class Readings:
    """What all clients saw."""

    summary_seconds: list[float] = field(default_factory=list)
    """From each request to the whole answer."""
    event_seconds: list[float] = field(default_factory=list)
    """From the writing of each event to its arrival, for events written meanwhile."""
    errors: list[str] = field(default_factory=list)
    heard: list[list[int]] = field(default_factory=list)
    """Numbers of the events, by client."""

    @property
    def disagreements(self) -> int:
        """How many clients heard other events than the one that heard most."""
        longest = max(self.heard, key=len)
        return sum(numbers != longest[: len(numbers)] for numbers in self.heard)


async def read_summaries(url: str, token: str, until: float, readings: Readings) -> None:
    """Read the summary once a second."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(timeout=30, headers=headers) as http:
        await asyncio.sleep(random.random())  # noqa: S311 - they are not in step
        while (started := time.monotonic()) < until:
            try:
                answer = await http.get(url)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                readings.errors.append(f"summary: {error!r}")
            readings.summary_seconds.append(time.monotonic() - started)
            await asyncio.sleep(max(0.0, started + 1 - time.monotonic()))


async def hear_events(
    service: str, sweep_id: str, token: str, until: float, readings: Readings
) -> None:
    """Keep the stream of events open."""
    numbers: list[int] = []
    readings.heard.append(numbers)
    opened = datetime.now(UTC)
    try:
        async with (
            AsyncClient(service, token=token, retry_seconds=0) as client,
            asyncio.timeout_at(until),
        ):
            sweep = await client.sweeps.get(sweep_id)
            async for event in sweep.events():
                numbers.append(event.number)
                if event.created_at > opened:
                    late = datetime.now(UTC) - event.created_at
                    readings.event_seconds.append(late.total_seconds())
    except TimeoutError:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        readings.errors.append(f"events: {error!r}")


async def read(service: str, sweep_id: str, tokens: list[str], seconds: float) -> Readings:
    """Let a client for each token read for so long."""
    readings = Readings()
    until = asyncio.get_running_loop().time() + seconds  # the clock of time.monotonic
    url = f"{service}/api/v1/sweeps/{sweep_id}/summary"
    await asyncio.gather(
        *(read_summaries(url, token, until, readings) for token in tokens),
        *(hear_events(service, sweep_id, token, until, readings) for token in tokens),
    )
    return readings


def make_tokens(home: Path, clients: int) -> list[str]:
    """A token for each client, and an administrator's for what this process asks."""
    database = Database(f"sqlite:///{home / 'sasam.db'}")
    try:
        tokens = Tokens(database)
        os.environ["SASAM_TOKEN"] = tokens.create("administrator", Role.ADMIN)
        return [tokens.create(f"reader-{number}", Role.READ) for number in range(clients)]
    finally:
        database.close()


def main() -> int:
    """Run the sweep calm, then read; returns 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--epochs", type=int, default=40, help="of each trial")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # leave nothing behind
    with tempfile.TemporaryDirectory(prefix="sasam-readers-") as folder:
        stack = Stack(Path(folder) / "home")
        with stack.running(second_node=False):
            service = stack.url("service")
            tokens = make_tokens(stack.home, arguments.clients)
            reference, calm_seconds = calm(stack, arguments.epochs)
            started = time.monotonic()
            sweep_id = submit(stack, arguments.epochs)
            while ended_trials(stack, sweep_id) == 0:
                time.sleep(0.1)
            readings = asyncio.run(read(service, sweep_id, tokens, arguments.seconds))
            ended = ended_trials(stack, sweep_id)
            wait(stack, sweep_id)
            seconds = time.monotonic() - started
            verdict = judge(service, stack.url("mlflow"), sweep_id, reference)
    print(
        f"{arguments.clients} clients for {arguments.seconds:.0f} s, {ended}/{TRIALS} trials then"
    )
    print(line("summaries", readings.summary_seconds))
    print(line("events", readings.event_seconds))
    print(f"errors: {len(readings.errors)} {readings.errors[:3]}")
    print(f"clients that heard other events: {readings.disagreements}")
    print(f"sweep: {calm_seconds:.1f} s calm, {seconds:.1f} s read; {verdict}")
    return 0 if verdict.holds and not readings.errors and not readings.disagreements else 1


def line(name: str, seconds: list[float]) -> str:
    """Percentiles of latencies."""
    if not seconds:
        return f"{name}: none"
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return (
        f"{name}: {len(seconds)}, p50 {1e3 * p50:.0f} ms, p95 {1e3 * p95:.0f} ms, "
        f"p99 {1e3 * p99:.0f} ms, longest {1e3 * max(seconds):.0f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
