"""Trees of processes are found and ended by their mark."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.embedded.marks import MARK_VARIABLE, end_marked, find_marked

# A child in a session of its own that ignores SIGTERM, below a parent that exits.
STUBBORN_ORPHAN = """
import subprocess, sys
child = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(99)"
process = subprocess.Popen(
    [sys.executable, "-c", child], start_new_session=True, stdout=subprocess.PIPE
)
process.stdout.readline()
print(process.pid, flush=True)
"""

# Holds a reaper until it is killed itself.
OWNER_OF_REAPER = """
import sys, time
from pathlib import Path
from service.embedded.marks import reaper
with reaper(sys.argv[1], Path(sys.argv[2]), 1.0):
    print("ready", flush=True)
    time.sleep(99)
"""


@pytest.fixture
def mark() -> Iterator[str]:
    mark = secrets.token_hex(8)
    yield mark
    end_marked(mark, 0)


def start(mark: str, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, MARK_VARIABLE: mark})


def orphan(mark: str) -> int:
    output = subprocess.run(
        [sys.executable, "-c", STUBBORN_ORPHAN],
        env={**os.environ, MARK_VARIABLE: mark},
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return int(output)


def test_end_marked_orphan_that_ignores_sigterm_is_killed(mark: str) -> None:
    pid = orphan(f"{mark}.ray")
    assert find_marked(f"{mark}.") == [pid]
    assert end_marked(f"{mark}.", grace_seconds=0.1) == 1
    assert find_marked(mark) == []


def test_end_marked_other_mark_is_left_alone(mark: str, until: Callable[..., None]) -> None:
    with start(f"{mark}.a", "sleep", "99") as ours, start(f"{mark}.b", "sleep", "99") as theirs:
        until(
            lambda: sorted(find_marked(mark)) == sorted([ours.pid, theirs.pid])
        )  # both are executed
        assert end_marked(f"{mark}.a", grace_seconds=5) == 1
        assert ours.wait() == -signal.SIGTERM
        assert theirs.poll() is None
        theirs.kill()


def test_reaper_owner_killed_tree_and_folder_go(
    mark: str, until: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    pid = orphan(mark)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER_OF_REAPER, mark, str(folder)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        assert find_marked(mark) == [pid]
        owner.kill()
    until(lambda: not folder.exists())
    assert find_marked(mark) == []
