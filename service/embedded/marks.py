"""Find and end whole process trees by a mark in their environment.

A child's environment is inherited by everything it starts, through new sessions, process groups
and the death of parents alike. A mark in it therefore names exactly what one supervisor started:
Ray's raylet, its workers, the drivers of jobs. Names and parents do not: names are shared with
strangers, and an orphan's parent is init.

The file is also the program of the *reaper*, a process that outlives its supervisor: it waits for
the end of its standard input, which the kernel closes whatever kills the supervisor, and then ends
what carries the mark. It therefore imports the standard library alone and starts in 30 ms.
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

__all__ = ["MARK_VARIABLE", "end_marked", "find_marked", "reaper"]

MARK_VARIABLE = "SASAM_SUPERVISED_BY"

_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0  # a killed process may still write a core or leave the GPU's driver


def find_marked(mark: str) -> list[int]:
    """List the processes whose mark starts with ``mark``, without this one.

    Zombies have no environment left and are not listed; neither are other users' processes.
    """
    processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in processes if pid != os.getpid() and _carries(pid, mark)]


def end_marked(mark: str, grace_seconds: float) -> int:
    """End every process whose mark starts with ``mark``; return how many there were.

    Each gets SIGTERM, and SIGKILL when it is still there after ``grace_seconds``.
    """
    seen: set[int] = set()
    start = time.monotonic()
    while processes := find_marked(mark):
        elapsed = time.monotonic() - start
        if elapsed > grace_seconds + _KILL_SECONDS:
            break
        late = elapsed >= grace_seconds
        for pid in processes if late else set(processes) - seen:
            _send(pid, signal.SIGKILL if late else signal.SIGTERM, mark)
        seen.update(processes)
        time.sleep(_POLL_SECONDS)
    return len(seen)


def _carries(pid: int, mark: str) -> bool:
    """Tell whether a process lives, is this user's, and carries the mark."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"\0{MARK_VARIABLE}={mark}".encode() in b"\0" + environment


def _send(pid: int, number: signal.Signals, mark: str) -> None:
    """Signal a process, if the process of this id is still a marked one."""
    with suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _carries(pid, mark):  # looked up again, now that the handle pins the id
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


@contextmanager
def reaper(mark: str, folder: Path, grace_seconds: float) -> Iterator[None]:
    """Run a process that cleans up when this process is gone or the block is left.

    It ends everything marked, then removes the folder that held its sockets.
    """
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", __file__, mark, str(folder), str(grace_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C must not reach it
    ):
        yield


def _reap() -> None:
    """Wait until the supervisor is gone, then end what it left."""
    mark, folder, grace_seconds = sys.argv[1:]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_marked(mark, float(grace_seconds))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _reap()
