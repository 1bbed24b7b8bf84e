"""Process markers: find and end process trees by a marker in their environment.

A child's environment is inherited by everything it starts, across sessions, process groups and the
death of parents. A marker in it therefore identifies exactly the processes of one supervisor: Ray's
raylet, its workers, the drivers of jobs. Names and parents do not: other programs share the names,
and the parent of an orphan is init.

The file is also the program of the *reaper*, a process that outlives its supervisor: it waits for
the end of its standard input, which the kernel closes when the supervisor dies in any way, and then
ends the marked processes. It therefore uses the standard library only, not ``psutil``, and starts
in 30 ms. Signals are sent through pidfds: the kernel cannot give a process id to another process
between the check of the marker and the signal, as it can with ``psutil``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["MARKER_VARIABLE", "end_marked", "find_marked", "reaper"]

MARKER_VARIABLE = "SASAM_SUPERVISED_BY"

_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0  # a killed process may still write a core dump or release a GPU


def find_marked(marker: str) -> list[int]:
    """List the ids of processes whose marker starts with ``marker``, without this process.

    Zombies, which have no environment, and processes of other users are not listed.
    """
    processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in processes if pid != os.getpid() and _is_marked(pid, marker)]


def end_marked(marker: str, grace_seconds: float) -> int:
    """End the processes whose marker starts with ``marker``; return their number.

    Each gets SIGTERM, and SIGKILL if it still runs after ``grace_seconds``.
    """
    seen: set[int] = set()
    start = time.monotonic()
    while processes := find_marked(marker):
        elapsed = time.monotonic() - start
        if elapsed > grace_seconds + _KILL_SECONDS:
            break
        is_late = elapsed >= grace_seconds
        for pid in processes if is_late else set(processes) - seen:
            _send(pid, signal.SIGKILL if is_late else signal.SIGTERM, marker)
        seen.update(processes)
        time.sleep(_POLL_SECONDS)
    return len(seen)


def _is_marked(pid: int, marker: str) -> bool:
    """Whether a process runs, belongs to this user, and has the marker."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"\0{MARKER_VARIABLE}={marker}".encode() in b"\0" + environment


def _send(pid: int, number: signal.Signals, marker: str) -> None:
    """Signal a process if it still has the marker."""
    with suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _is_marked(
                pid, marker
            ):  # checked again, now that the handle keeps the id from reuse
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


@contextmanager
def reaper(marker: str, folder: Path, grace_seconds: float) -> Iterator[None]:
    """Run a process that cleans up when this process dies or the block is left.

    It ends the marked processes, then removes the folder with their sockets.
    """
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", __file__, marker, str(folder), str(grace_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal must not reach it
    ):
        yield


def _reap() -> None:
    """Wait until the supervisor is gone, then end the processes it left."""
    marker, folder, grace_seconds = sys.argv[1:]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_marked(marker, float(grace_seconds))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _reap()
