"""Failures of trials: their kind, read from tracebacks, and the decision to retry.

Out of memory is a kind of its own: it depends on what else runs on the device, and only the user
can remedy it. A trial waits for a full disk or an unavailable storage without a limit. The same
exception twice in a row after the same epoch counts as a bug, which a retry would meet again.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile

__all__ = ["Failure", "FailureKind", "Retries", "is_defect", "names_defect", "read_failure"]

_FIRST_PAUSE_SECONDS = 2.0
_MAX_PAUSE_SECONDS = 60.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TUNES_HEADING = "Failure # "
_FRAME = '  File "'
_RAISED_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|MemoryError|out of memory|_ALLOC_FAILED|an't allocate memory"
    r"|annot allocate memory"
)
"""Messages of CUDA, cuBLAS, cuDNN, PyTorch's allocators and the operating system."""
_KILLED_OUT_OF_MEMORY = re.compile(r"low on memory|due to memory pressure")
"""Messages of Ray's memory monitor. Ray names the system's OOM killer for any dead process."""
_RAISED_DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|PytorchStreamWriter failed writing"
)
"""Messages of the operating system and ``torch.save``."""
_RAISED_STORAGE_AWAY = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|SLOW_DOWN|THROTTLING"
    r"|REQUEST_TIMEOUT)"
)
"""Messages of Arrow's S3 client after more than a minute of attempts."""


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
"""Errors in code, arguments or installation, which occur again in the next attempt."""
_BROKEN_INSTALLATION = re.compile(r"^(ImportError|ModuleNotFoundError|SyntaxError)\b")


def is_defect(error: BaseException) -> bool:
    """Whether an exception of a driver would occur again in the next attempt.

    Errors of the operating system and of connections do not count, including those that a library
    derives from ``ValueError`` as well.
    """
    return isinstance(error, _DEFECTS) and not isinstance(error, OSError)


def names_defect(line: str) -> bool:
    """Whether a driver's last line shows an installation that cannot run any driver."""
    return _BROKEN_INSTALLATION.match(line) is not None


class FailureKind(StrEnum):
    """Why a trial failed."""

    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    STORAGE_AWAY = "storage_away"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a trial.

    Args:
        kind: Kind of the failure.
        message: Exception and message, or Ray's message about a process that died.
        traceback: The complete text.
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
    """Decides whether and when a failed trial is retried.

    Args:
        limit: Maximum number of retries; failures of the storage do not count.
        first_pause_seconds: Pause before the first retry; doubled for each further one, up to a
            minute.
    """

    def __init__(self, limit: int, first_pause_seconds: float = _FIRST_PAUSE_SECONDS) -> None:
        self._limit = limit
        self._first_pause_seconds = first_pause_seconds
        self._counts: Counter[str] = Counter()
        self._last: dict[str, tuple[str, int]] = {}

    def pause_seconds(self, key: str, failure: Failure, epoch: int) -> float | None:
        """Pause before the next retry, in seconds; None to give up.

        Args:
            key: Trial key.
            failure: Latest failure of the trial.
            epoch: Last recorded epoch of the trial.
        """
        if failure.kind in (FailureKind.DISK_FULL, FailureKind.STORAGE_AWAY):
            return _MAX_PAUSE_SECONDS
        previous, latest = self._last.get(key), (failure.message, epoch)
        self._last[key] = latest
        may_pass = failure.kind is FailureKind.OUT_OF_MEMORY or not failure.was_raised
        if self._counts[key] >= self._limit or (previous == latest and not may_pass):
            return None
        pause = self._first_pause_seconds * 2.0 ** self._counts[key]
        self._counts[key] += 1
        return min(pause, _MAX_PAUSE_SECONDS)


def read_failure(text: str) -> Failure:
    """The latest failure in the file in which Tune collects the errors of a trial."""
    _, heading, newest = _COLOURS.sub("", text).rpartition(_TUNES_HEADING)
    newest = newest.partition("\n")[2] if heading else newest
    was_raised = _FRAME in newest
    message = _exception(newest) if was_raised else newest.strip()
    kind = _kind(message, was_raised)
    return Failure(kind, message or "no traceback", newest.strip(), was_raised)


def _kind(message: str, was_raised: bool) -> FailureKind:
    """Kind of a failure by its message."""
    if was_raised and _RAISED_DISK_FULL.search(message):
        return FailureKind.DISK_FULL
    if was_raised and _RAISED_STORAGE_AWAY.search(message):
        return FailureKind.STORAGE_AWAY
    out_of_memory = _RAISED_OUT_OF_MEMORY if was_raised else _KILLED_OUT_OF_MEMORY
    return FailureKind.OUT_OF_MEMORY if out_of_memory.search(message) else FailureKind.ERROR


def _exception(traceback: str) -> str:
    """Exception and message: the text after the last frame."""
    lines = traceback.strip().splitlines()
    frame = max((at for at, line in enumerate(lines) if line.startswith(_FRAME)), default=-1)
    message = dropwhile(lambda line: line.startswith(" "), lines[frame + 1 :])
    return "\n".join(message)
