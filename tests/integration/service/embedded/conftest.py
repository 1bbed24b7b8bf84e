"""Processes to supervise and processes that supervise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.embedded.home import Home, occupy
from service.embedded.process_markers import end_marked
from tests.support.ports import free_port as find_free_port
from tests.support.waiting import wait_until

HERE = Path(__file__).parent


class Supervisor:
    """A stack in a process of its own (``supervisor.py``), read through the events it prints."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.events: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.order: list[tuple[str, str]] = []
        self._taken: Counter[tuple[str, str]] = Counter()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "supervisor.py")],
            env={**os.environ, "SASAM_HOME": str(home), **variables},
            stdout=subprocess.PIPE,
            text=True,
        )

    def await_event(self, child: str, kind: str) -> dict[str, Any]:
        """Return the next event of a child and kind."""
        assert self.process.stdout is not None
        key = (child, kind)
        self._taken[key] += 1
        while len(self.events[key]) < self._taken[key]:
            line = self.process.stdout.readline()
            assert line, f"the supervisor ended before {key}: {self.events}"
            event = json.loads(line)
            self.order.append((event["child"], event["kind"]))
            self.events[self.order[-1]].append(event)
        return self.events[key][self._taken[key] - 1]

    def close(self) -> None:
        """Kill it when a test left it running."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Start supervisors of homes below ``tmp_path``; nothing of them outlives the test."""
    with ExitStack() as cleanup:
        homes: set[Path] = set()

        def start(name: str, **variables: str) -> Supervisor:
            supervisor = Supervisor(tmp_path / name, **variables)
            homes.add(supervisor.home)
            cleanup.callback(supervisor.close)
            return supervisor

        yield start
    for path in homes:
        with occupy(path) as home:
            end_marked(f"{home.identity}.", 0)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An occupied home."""
    with occupy(tmp_path / "home") as home:
        yield home


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until a condition holds."""
    return wait_until


@pytest.fixture
def free_port() -> int:
    """A port that no process listens on."""
    return find_free_port()
