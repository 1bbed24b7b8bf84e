"""What a trial logs, in a bounded file beside its checkpoint.

A process runs one trial after another. `TrialLog.follow` sends the records of all loggers, from
INFO on for the project's own, to the file of the trial that begins; the process that runs the
driver reads the file with `read_trial_log` when the trial has ended. Nothing can be appended to a
file on S3: there the log lies on the node and `TrialLog.publish` copies it.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from workers.durable_storage import S3Path, Stored, reading, writing
from workers.moments import UtcFormatter

__all__ = ["TrialLog", "read_trial_log"]

_FILE = "log.txt"
_MOST_BYTES = 128 * 1024
"""Size at which a file is put aside; with the one before a trial has at most twice as much."""
_OWN = ("sasam", "workers")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class TrialLog:
    """The log of the trial that a process runs; of none before the first."""

    def __init__(self) -> None:
        self._handler: RotatingFileHandler | None = None
        self._folder = Path()
        self._published: S3Path | None = None

    def follow(self, folder: Path, published: Stored | None = None) -> None:
        """Write to the log in a trial's folder from now on, behind what is there.

        Args:
            folder: The trial's, on this node.
            published: The trial's, for all nodes; what another node published comes first.
        """
        self.close()
        self._folder = folder
        self._published = published if isinstance(published, S3Path) else None
        with suppress(OSError):  # a trial does not fail because its log cannot be written
            folder.mkdir(parents=True, exist_ok=True)
            if self._published is not None:
                (folder / f"{_FILE}.1").unlink(missing_ok=True)
                (folder / _FILE).write_text(read_trial_log(self._published), encoding="utf-8")
            self._handler = _Handler(
                folder / _FILE, maxBytes=_MOST_BYTES, backupCount=1, encoding="utf-8"
            )
            self._handler.setFormatter(UtcFormatter(_FORMAT))
            logging.getLogger().addHandler(self._handler)
            for name in _OWN:
                logging.getLogger(name).setLevel(logging.INFO)

    def publish(self) -> None:
        """Let other nodes read the log so far; nothing to do in a folder that all share."""
        if self._published is not None:
            with suppress(OSError), writing(self._published / _FILE) as file:
                file.write(read_trial_log(self._folder).encode())

    def close(self) -> None:
        """Write to no log."""
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
            self._handler = None


class _Handler(RotatingFileHandler):
    """Drops what cannot be written, as on a full disk, without a word."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Nothing: the trial goes on."""


def read_trial_log(folder: Stored) -> str:
    """The log in a trial's folder, oldest line first; empty where there is none."""
    text = ""
    for name in (_FILE,) if isinstance(folder, S3Path) else (f"{_FILE}.1", _FILE):
        with suppress(OSError), reading(folder / name) as file:
            text += file.read().decode(errors="replace")
    return text
