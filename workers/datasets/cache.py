"""Cache of arrays: written once per machine, mapped into every process that reads them.

An entry is a folder of ``.npy`` files. It is filled under another name while a file lock is held,
then renamed: an entry that exists is complete, and concurrent processes build it once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from workers.datasets.errors import InsufficientSpaceError, MissingDataError

__all__ = ["build_once", "locked", "map_array", "open_or_rebuild", "require_space", "save_array"]

_Entry = TypeVar("_Entry")

_SPARE_BYTES = 64 * 2**20  # left free besides the data


def build_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return ``folder``, filled by the first process that needs it."""
    if folder.is_dir():
        return folder
    with locked(folder):
        if not folder.is_dir():
            unfinished = folder.with_name(f".{folder.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that died
            unfinished.mkdir(parents=True)
            try:
                fill(unfinished)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def open_or_rebuild(
    folder: Path, fill: Callable[[Path], None], open_entry: Callable[[Path], _Entry]
) -> _Entry:
    """Open an entry; build it if it is missing or damaged.

    A full disk or a power failure can truncate files.

    Args:
        folder: The entry.
        fill: Writes the entry to the given folder.
        open_entry: Opens the entry; raises ValueError, KeyError or OSError if it is damaged.
    """
    build_once(folder, fill)
    try:
        return open_entry(folder)
    except (ValueError, KeyError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        return open_entry(build_once(folder, fill))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of ``path``; the system releases it if the process dies.

    Raises:
        MissingDataError: Its folder cannot be created or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    except OSError as error:
        raise MissingDataError(
            "data folder",
            f"{path.parent} cannot be written: {error.strerror}",
            "name a folder that can, or give it to this user",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def map_array(path: Path) -> npt.NDArray[Any]:
    """Map a ``.npy`` file: pages are shared between processes, writes stay private.

    Copy-on-write instead of read-only, because PyTorch warns about read-only arrays.

    Raises:
        ValueError: The file is truncated or not an array.
        FileNotFoundError: The file does not exist.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False).view(np.ndarray)
    except EOFError as error:
        raise ValueError(f"{path} is empty") from error
    return array


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a ``.npy`` file and flush it to the disk."""
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def require_space(folder: Path, needed_bytes: int, *, key: str) -> None:
    """Check that the disk of ``folder`` has enough space.

    Raises:
        InsufficientSpaceError: It has not.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed_bytes + _SPARE_BYTES:
        raise InsufficientSpaceError(
            key,
            f"{needed_bytes / 2**20:,.0f} MiB are needed in {folder}, {free / 2**20:,.0f} are free",
            "free some space or set another data folder",
        )
