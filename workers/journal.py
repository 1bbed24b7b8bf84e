"""The driver's journal: durable log of the trials' events, in order.

A restarted driver reads from it which trials have ended and which epochs are recorded, and the
delivery sends it to MLflow. An entry is one line of JSON. Its time is fixed when it is written, so
that delivering it twice changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from workers.metrics import Outcome
from workers.spec import Configuration

__all__ = ["Journal", "JournalEntry", "Suggestion"]

log = logging.getLogger(__name__)

_PAGE = 1_000
"""Entries read at a time."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_PAUSE_SECONDS = 10.0
_FORMER_AXES = ("learning_rate", "weight_decay")
"""Fields of a suggestion that a release without other axes has written."""

Kind = Literal[
    "sweep_started",
    "suggestion",
    "trial_started",
    "epoch",
    "trial_ended",
    "trial_reused",
    "sweep_ended",
]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event.

    Args:
        kind: Kind of the event.
        trial: Key of the trial; empty for the sweep.
        time_ms: Time, in milliseconds since 1970.
        data: Details by the kind, as plain JSON.
    """

    kind: Kind
    trial: str
    time_ms: int
    data: Mapping[str, Any]

    @property
    def parts(self) -> list[JournalEntry]:
        """The start, the epochs and the end that a ``trial_reused`` stands for; else itself.

        A reused trial is one entry, so that no killed driver leaves a part of it. Its epochs have
        the times of the original trial.
        """
        if self.kind != "trial_reused":
            return [self]
        data = dict(self.data)
        start = {"attempt": data.pop("attempt")}
        epochs = [
            JournalEntry("epoch", self.trial, time_ms, {"epoch": number, "metrics": metrics})
            for number, time_ms, metrics in data.pop("epochs")
        ]
        return [
            JournalEntry("trial_started", self.trial, self.time_ms, start),
            *epochs,
            JournalEntry("trial_ended", self.trial, self.time_ms, data),
        ]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A configuration that a search found while the sweep ran.

    Args:
        label: Label of its optimizer.
        number: Number among the suggestions of the optimizer, from 0.
        configuration: A value of each axis.
    """

    label: str
    number: int
    configuration: Configuration


class Journal:
    """An append-only file of entries.

    One process writes it; a second one waits until the first has ended. Readers wait for entries
    with ``wait`` and read pages with ``read``.

    Args:
        path: The file, created if missing. An incomplete last line of a killed writer is removed.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        _lock(self._file, path)
        self.path = path
        self.epochs: dict[str, int] = {}
        """Last recorded epoch of each trial."""
        self.outcomes: dict[str, Outcome] = {}
        """Outcome of each trial that has ended."""
        self.metrics: dict[str, dict[str, float]] = {}
        """Latest value of every metric of each trial."""
        self.suggestions: list[Suggestion] = []
        """Suggestions of the search, in order."""
        self.is_started = False
        """Whether a driver has recorded its start."""
        self._grown = threading.Condition()
        self._end = self._recover()

    @property
    def end(self) -> int:
        """The offset behind the last entry."""
        return self._end

    def append(self, kind: Kind, trial: str = "", *, ago_seconds: float = 0.0, **data: Any) -> None:
        """Append an entry, which survives this process; wait while the disk is full.

        Args:
            kind: Kind of the event.
            trial: Key of the trial; empty for the sweep.
            ago_seconds: How long ago it happened, in seconds.
            data: Details by the kind, as plain JSON.
        """
        entry = JournalEntry(kind, trial, int((time.time() - ago_seconds) * 1_000), data)
        line = json.dumps(asdict(entry), allow_nan=False).encode() + b"\n"
        with self._grown:
            self._write(line)
            self._end += len(line)
            self._remember(entry)
            self._grown.notify_all()

    def read(self, offset: int, *, limit: int) -> tuple[list[JournalEntry], int]:
        """Entries from ``offset`` on, at most ``limit``, and the offset behind them."""
        entries: list[JournalEntry] = []
        with self.path.open("rb") as file:
            file.seek(offset)
            while len(entries) < limit and offset < self._end:
                line = file.readline()
                offset += len(line)
                entries.append(JournalEntry(**json.loads(line)))
        return entries, offset

    def entries(self) -> Iterator[JournalEntry]:
        """All entries so far, in order."""
        offset = 0
        while offset < self._end:
            some, offset = self.read(offset, limit=_PAGE)
            yield from some

    def wait(self, offset: int, timeout_seconds: float) -> bool:
        """Wait for an entry behind ``offset``; return whether there is one."""
        with self._grown:
            return self._grown.wait_for(lambda: self._end > offset, timeout_seconds)

    def is_recorded(self, trial: str, epoch: int) -> bool:
        """Whether an epoch of a trial is in the journal."""
        return epoch <= self.epochs.get(trial, 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        """Write a complete line; while the disk is full, wait and write the rest later."""
        while line:
            try:
                line = line[self._file.write(line) :]
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                log.warning("the sweep waits until there is space: %s", error)
                time.sleep(_FULL_PAUSE_SECONDS)

    def _recover(self) -> int:
        """Read the entries of earlier drivers; return the length of the readable part."""
        end = 0
        with self.path.open("rb") as file:
            for line in file:
                entry = _parse(line)
                if entry is None:
                    break
                self._remember(entry)
                end += len(line)
        self._file.truncate(end)
        return end

    def _remember(self, entry: JournalEntry) -> None:
        """Update the index of epochs, metrics, outcomes and suggestions."""
        if entry.kind == "trial_started":
            self.outcomes.pop(entry.trial, None)
        elif entry.kind == "epoch":
            self.epochs[entry.trial] = max(self.epochs.get(entry.trial, 0), entry.data["epoch"])
            self.metrics.setdefault(entry.trial, {}).update(entry.data["metrics"])
        elif entry.kind == "trial_ended":
            self.outcomes[entry.trial] = Outcome(entry.data["outcome"])
        elif entry.kind == "trial_reused":
            for part in entry.parts:
                self._remember(part)
        elif entry.kind == "sweep_started":
            self.is_started = True
        elif entry.kind == "suggestion":
            data = entry.data
            self.suggestions.append(Suggestion(data["label"], data["number"], _configuration(data)))


def _configuration(data: Mapping[str, Any]) -> Configuration:
    """The configuration in the details of a suggestion."""
    if "configuration" in data:
        return Configuration(data["configuration"])
    return Configuration({name: data[name] for name in _FORMER_AXES})


def _parse(line: bytes) -> JournalEntry | None:
    """The entry of a line; None if incomplete, or unreadable after a power failure."""
    if not line.endswith(b"\n"):
        return None
    try:
        return JournalEntry(**json.loads(line))
    except (TypeError, ValueError):
        return None


def _lock(file: BinaryIO, path: Path) -> None:
    """Lock the file for this process; the system releases the lock when the process ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another driver writes %s; waiting for its end", path)
        fcntl.flock(file, fcntl.LOCK_EX)
