"""Keeps what the service writes from other users of the machine: folders 0700, files 0600.

The home holds digests of tokens, Ray's token, logs and everyone's results. Its own mode protects
all that lies below it; the files get theirs too, since they can be copied or linked elsewhere.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from service.embedded.errors import HomeError

__all__ = ["OTHERS", "PRIVATE_UMASK", "make_private", "open_to_others", "tighten"]

_log = logging.getLogger(__name__)

OTHERS = 0o077
"""The permissions of the group and of all others."""
PRIVATE_UMASK = OTHERS
_FOLDER_MODE = 0o700


def make_private(home: Path) -> Path:
    """Make the home for its owner alone, or tighten one that exists; returns its absolute path.

    Raises:
        HomeError: It cannot be made, or belongs to another user.
    """
    path = home.expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    except OSError as error:
        raise HomeError(
            f"SASAM_HOME {path} cannot be written ({error.strerror}): {error.filename}. "
            "Make it writable or set another folder."
        ) from error
    tighten(path)
    return path


def tighten(home: Path) -> None:
    """Take the group's and others' permissions from a home and its files, and log it once.

    A home that does not exist is left alone.

    Raises:
        HomeError: It belongs to another user, or is a folder that all users share.
    """
    path = home.expanduser().absolute()
    if not open_to_others(path):
        return
    status = path.stat()
    if status.st_uid != os.getuid() or status.st_mode & stat.S_ISVTX:
        raise HomeError(
            f"SASAM_HOME {path} must be a folder of user {os.getuid()} that no others use, got "
            f"owner {status.st_uid} and mode {stat.S_IMODE(status.st_mode):04o}. "
            "Set another folder."
        )
    path.chmod(_FOLDER_MODE)
    for entry in _contents(path):
        mode = stat.S_IMODE(entry.lstat().st_mode)
        if mode & OTHERS:
            entry.chmod(mode & ~OTHERS)
    _log.warning(
        "SASAM_HOME %s was open to other users of this machine (mode %04o); it is now 0700. Tokens "
        "that others may have read by then: replace them",
        path,
        stat.S_IMODE(status.st_mode),
    )


def open_to_others(home: Path) -> bool:
    """Whether other users may look into a home; False if there is none."""
    try:
        return bool(home.expanduser().stat().st_mode & OTHERS)
    except FileNotFoundError:
        return False


def _contents(home: Path) -> Iterator[Path]:
    """The entries of the home and of its logs; deeper ones are behind these folders."""
    for folder in (home, home / "logs"):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if not entry.is_symlink() and entry.stat().st_uid == os.getuid():
                yield entry
