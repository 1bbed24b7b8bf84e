"""Trials that fail: what went wrong, and whether to try again.

Out of memory is told apart from everything else: it depends on what else runs on the device, and
its remedy is the researcher's. A full disk is waited for, however long, and a storage that is
away. An exception that comes
twice in a row after the same epoch is taken for a bug, which another try would meet again.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile

__all__ = ["Failure", "FailureKind", "Retries", "is_defect", "names_defect", "read_failure"]

_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TUNES_HEADING = "Failure # "
_FRAME = '  File "'
_RAISED_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|MemoryError|out of memory|_ALLOC_FAILED|an't allocate memory"
    r"|annot allocate memory"
)
"""How CUDA, cuBLAS and cuDNN, PyTorch's allocators and the system say it in an exception."""
_KILLED_OUT_OF_MEMORY = re.compile(r"low on memory|due to memory pressure")
"""How Ray's memory monitor says it; of any dead process Ray guesses at the system's OOM killer."""
_RAISED_DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|PytorchStreamWriter failed writing"
)
"""How the system and ``torch.save`` say it."""
_RAISED_STORAGE_AWAY = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|SLOW_DOWN|THROTTLING"
    r"|REQUEST_TIMEOUT)"
)
"""How Arrow's S3 says it, when it has tried for more than a minute."""


_DEFECTS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What follows from code, its arguments and what is installed, and comes again."""
_BROKEN_INSTALLATION = re.compile(r"^(ImportError|ModuleNotFoundError|SyntaxError)\b")


def is_defect(error: BaseException) -> bool:
    """Whether an exception of a driver would come again at the next attempt.

    Errors of the system and of connections pass, also those of libraries that derive them from
    ``ValueError`` too.
    """
    return isinstance(error, _DEFECTS) and not isinstance(error, OSError)


def names_defect(line: str) -> bool:
    """Whether a driver's last line is that of an installation which cannot run any driver."""
    return _BROKEN_INSTALLATION.match(line) is not None


class FailureKind(StrEnum):
    """Why a trial failed."""

    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    STORAGE_AWAY = "storage_away"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a trial that failed.

    Args:
        kind: Why.
        message: The exception and what it says, or what Ray says of a process that died.
        traceback: All that there is.
        was_raised: Whether the trial raised an exception; otherwise its process died.
    """

    kind: FailureKind
    message: str
    traceback: str
    was_raised: bool

    @property
    def headline(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


class Retries:
    """Decides whether a failed trial is tried again, and when.

    Args:
        limit: How often, at most; tries that the storage ended do not count.
        first_pause_seconds: Wait before the first retry; doubled for each further one, up to a
            minute.
    """

    def __init__(self, limit: int, first_pause_seconds: float = _FIRST_PAUSE_SECONDS) -> None:
        self._limit = limit
        self._first_pause_seconds = first_pause_seconds
        self._counts: Counter[str] = Counter()
        self._last: dict[str, tuple[str, int]] = {}

    def pause_seconds(self, key: str, failure: Failure, epoch: int) -> float | None:
        """How long to wait before the next try; None to give up.

        Args:
            key: The trial.
            failure: Its newest failure.
            epoch: Its last recorded epoch.
        """
        if failure.kind in (FailureKind.DISK_FULL, FailureKind.STORAGE_AWAY):
            return _LONGEST_PAUSE_SECONDS
        before, now = self._last.get(key), (failure.message, epoch)
        self._last[key] = now
        may_pass = failure.kind is FailureKind.OUT_OF_MEMORY or not failure.was_raised
        if self._counts[key] >= self._limit or (before == now and not may_pass):
            return None
        pause = self._first_pause_seconds * 2.0 ** self._counts[key]
        self._counts[key] += 1
        return min(pause, _LONGEST_PAUSE_SECONDS)


def read_failure(text: str) -> Failure:
    """What the file says in which Tune notes a trial's errors, the newest one last."""
    _, heading, newest = _COLOURS.sub("", text).rpartition(_TUNES_HEADING)
    newest = newest.partition("\n")[2] if heading else newest
    was_raised = _FRAME in newest
    message = _exception(newest) if was_raised else newest.strip()
    kind = _kind(message, was_raised)
    return Failure(kind, message or "no traceback", newest.strip(), was_raised)


def _kind(message: str, was_raised: bool) -> FailureKind:
    """What an exception, or Ray of a process that died, says was the matter."""
    if was_raised and _RAISED_DISK_FULL.search(message):
        return FailureKind.DISK_FULL
    if was_raised and _RAISED_STORAGE_AWAY.search(message):
        return FailureKind.STORAGE_AWAY
    out_of_memory = _RAISED_OUT_OF_MEMORY if was_raised else _KILLED_OUT_OF_MEMORY
    return FailureKind.OUT_OF_MEMORY if out_of_memory.search(message) else FailureKind.ERROR


def _exception(traceback: str) -> str:
    """The exception and its message: what follows the last frame."""
    lines = traceback.strip().splitlines()
    frame = max((at for at, line in enumerate(lines) if line.startswith(_FRAME)), default=-1)
    message = dropwhile(lambda line: line.startswith(" "), lines[frame + 1 :])
    return "\n".join(message)
