"""File modes that keep other users of the machine out: folders 0700, files 0600.

The home holds digests of tokens, Ray's token, logs and all users' results. Its own mode protects
everything below it. New files are private too, since they can be moved elsewhere later. An existing
home that is open to others is tightened: the folder itself, the entries directly in it (databases
and secrets among them) and the logs. Deeper files keep their modes behind these folders.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.embedded.errors import HomeError

__all__ = [
    "OTHERS",
    "PRIVATE_UMASK",
    "make_private",
    "open_to_others",
    "private_files",
    "restrict",
    "tighten",
    "umask_for",
]

_log = logging.getLogger(__name__)

OTHERS = 0o077
"""The permissions of the group and of all others."""
PRIVATE_UMASK = OTHERS
_FOLDER_MODE = 0o700


def make_private(home: Path) -> Path:
    """Create the home with mode 0700, or tighten an existing one; return its absolute path.

    Raises:
        HomeError: The home cannot be created, or belongs to another user.
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
    """Remove the permissions of the group and of others from an existing home; log it once.

    Raises:
        HomeError: The home belongs to another user, or is a folder that all users share.
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
        _close(entry)
    _log.warning(
        "SASAM_HOME %s was open to other users of this machine (mode %04o); it is now 0700. "
        "Replace the tokens that others may have read",
        path,
        stat.S_IMODE(status.st_mode),
    )


def restrict(path: Path) -> None:
    """Remove the permissions of the group and of others from a file or a whole folder."""
    for entry in (path, *path.rglob("*")):
        if not entry.is_symlink():
            _close(entry)


def umask_for(home: Path, *folders: Path) -> int:
    """Return the umask for files below ``folders``.

    Returns:
        ``PRIVATE_UMASK`` if all folders lie in the home; else -1, which leaves the umask of the
        process as it is, because other users may share the folders.
    """
    home = home.expanduser().absolute()
    is_home = all(folder.expanduser().absolute().is_relative_to(home) for folder in folders)
    return PRIVATE_UMASK if is_home else -1


@contextmanager
def private_files(home: Path, *folders: Path) -> Iterator[None]:
    """Create private files during the block, in a private home, if all folders lie in the home.

    Raises:
        HomeError: The home cannot be created, or belongs to another user.
    """
    umask = umask_for(home, *folders)
    if umask == -1:
        yield
        return
    make_private(home)
    previous = os.umask(umask)
    try:
        yield
    finally:
        os.umask(previous)


def open_to_others(home: Path) -> bool:
    """Whether other users may access a home; False if it does not exist."""
    try:
        return bool(home.expanduser().stat().st_mode & OTHERS)
    except FileNotFoundError:
        return False


def _contents(home: Path) -> Iterator[Path]:
    """The user's own entries of the home and of its logs."""
    for folder in (home, home / "logs"):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if not entry.is_symlink() and entry.stat().st_uid == os.getuid():
                yield entry


def _close(path: Path) -> None:
    """Remove the permissions of the group and of others from a file or folder."""
    mode = stat.S_IMODE(path.lstat().st_mode)
    if mode & OTHERS:
        path.chmod(mode & ~OTHERS)
