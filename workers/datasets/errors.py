"""Errors of data sets, raised before any trial starts.

DatasetError
├── MissingDataError        a file or folder is missing
├── DamagedDataError        a file fails its check: size, checksum, shape, labels
├── InvalidRequestError     a setting requests something that does not exist
└── InsufficientSpaceError  the disk is too small
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

__all__ = [
    "DamagedDataError",
    "DatasetError",
    "InsufficientSpaceError",
    "InvalidRequestError",
    "MissingDataError",
    "system_errors",
]


class DatasetError(Exception):
    """Data that cannot be used.

    Args:
        key: The setting that caused the error, such as ``dataset.kwargs.path``.
        problem: What is wrong, with the value.
        remedy: How to correct it.
    """

    def __init__(self, key: str, problem: str, remedy: str) -> None:
        super().__init__(key, problem, remedy)  # all three, so that it can be pickled
        self.key, self.problem, self.remedy = key, problem, remedy

    def within(self, data_dir: Path) -> Self:
        """The same error with paths relative to the data folder, for callers on other machines."""
        texts = [self.problem, self.remedy]
        for folder in (os.path.normpath(data_dir.absolute()), str(data_dir)):
            if Path(folder).is_absolute():
                texts = [text.replace(f"{folder}{os.sep}", "") for text in texts]
                texts = [text.replace(folder, "the data folder") for text in texts]
        return type(self)(self.key, *texts)

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {self.remedy}"


class MissingDataError(DatasetError):
    """A file or folder is missing."""


class DamagedDataError(DatasetError):
    """A file or an array fails its check."""


class InvalidRequestError(DatasetError):
    """A setting requests something that does not exist."""


class InsufficientSpaceError(DatasetError):
    """The disk is too small."""


@contextmanager
def system_errors(key: str, what: str) -> Iterator[None]:
    """Raise errors of the file system as a `DatasetError`.

    Args:
        key: The setting that caused the access.
        what: The data that are read or written, for the message.

    Raises:
        InsufficientSpaceError: The disk is full.
        MissingDataError: The data cannot be read or written for another reason.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InsufficientSpaceError(
                key, f"{what}: {reason.lower()}", "free some space or set another data folder"
            ) from error
        raise MissingDataError(
            key, f"{what} cannot be read or written: {reason}", "check the folder and its rights"
        ) from error
