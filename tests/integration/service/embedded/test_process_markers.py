"""Process trees are found and ended by their marker."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.embedded.process_markers import MARKER_VARIABLE, end_marked, find_marked

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
from service.embedded.process_markers import reaper
with reaper(sys.argv[1], Path(sys.argv[2]), 1.0):
    print("ready", flush=True)
    time.sleep(99)
"""


@pytest.fixture
def marker() -> Iterator[str]:
    marker = secrets.token_hex(8)
    yield marker
    end_marked(marker, 0)


def start(marker: str, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, MARKER_VARIABLE: marker})


def orphan(marker: str) -> int:
    output = subprocess.run(
        [sys.executable, "-c", STUBBORN_ORPHAN],
        env={**os.environ, MARKER_VARIABLE: marker},
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return int(output)


def test_end_marked_orphan_that_ignores_sigterm_is_killed(marker: str) -> None:
    pid = orphan(f"{marker}.ray")
    assert find_marked(f"{marker}.") == [pid]
    assert end_marked(f"{marker}.", grace_seconds=0.1) == 1
    assert find_marked(marker) == []


def test_end_marked_other_mark_is_left_alone(marker: str, until: Callable[..., None]) -> None:
    with start(f"{marker}.a", "sleep", "99") as ours, start(f"{marker}.b", "sleep", "99") as theirs:
        until(
            lambda: sorted(find_marked(marker)) == sorted([ours.pid, theirs.pid])
        )  # both are executed
        assert end_marked(f"{marker}.a", grace_seconds=5) == 1
        assert ours.wait() == -signal.SIGTERM
        assert theirs.poll() is None
        theirs.kill()


def test_reaper_owner_killed_tree_and_folder_go(
    marker: str, until: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    pid = orphan(marker)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER_OF_REAPER, marker, str(folder)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        assert find_marked(marker) == [pid]
        owner.kill()
    until(lambda: not folder.exists())
    assert find_marked(marker) == []
