"""Log of a trial: a file of limited size beside the trial's checkpoint.

A process runs one trial after another. `TrialLog.follow` sends the records of all loggers (from
INFO for this project's own) to the file of the next trial; the driver reads the file with
`read_trial_log` when the trial has ended. A file on S3 cannot be appended to: there the log is a
file of the node, which `TrialLog.publish` copies.
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
_MAX_BYTES = 128 * 1024
"""Size at which a file is rotated; with the previous file, a log has at most twice this size."""
_OWN = ("sasam", "workers")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class TrialLog:
    """The log of the trial that a process runs; no log before the first trial."""

    def __init__(self) -> None:
        self._handler: RotatingFileHandler | None = None
        self._folder = Path()
        self._published: S3Path | None = None

    def follow(self, folder: Path, published: Stored | None = None) -> None:
        """Append to the log in a trial's folder from now on.

        Args:
            folder: Folder of the trial on this node.
            published: Folder of the trial for all nodes; a log published there comes first.
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
                folder / _FILE, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8"
            )
            self._handler.setFormatter(UtcFormatter(_FORMAT))
            logging.getLogger().addHandler(self._handler)
            for name in _OWN:
                logging.getLogger(name).setLevel(logging.INFO)

    def publish(self) -> None:
        """Make the log so far readable by other nodes; a shared folder needs nothing."""
        if self._published is not None:
            with suppress(OSError), writing(self._published / _FILE) as file:
                file.write(read_trial_log(self._folder).encode())

    def close(self) -> None:
        """Stop logging."""
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
            self._handler = None


class _Handler(RotatingFileHandler):
    """Silently drops records that cannot be written, as on a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Ignore the error: the trial continues."""


def read_trial_log(folder: Stored) -> str:
    """The log in a trial's folder, oldest line first; empty if missing."""
    text = ""
    for name in (_FILE,) if isinstance(folder, S3Path) else (f"{_FILE}.1", _FILE):
        with suppress(OSError), reading(folder / name) as file:
            text += file.read().decode(errors="replace")
    return text
