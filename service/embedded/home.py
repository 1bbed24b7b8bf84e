"""``SASAM_HOME``: the folder of the embedded mode's files, and the lock on it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service.embedded.errors import HomeError
from service.embedded.privacy import make_private

__all__ = ["Home", "occupy", "require_private", "runtime_folder"]

# AF_UNIX paths hold 107 bytes; below its folder Ray needs
# "/session_2026-01-01_00-00-00_000000_4194304/sockets/dash_MetricsHead" and a zero byte.
_FOLDER_BYTES = 107 - 70


@dataclass(frozen=True, slots=True)
class Home:
    """A ``SASAM_HOME`` that this process has locked.

    Attributes:
        path: The folder, absolute.
        identity: Short id of the folder, the same at every start; part of the names of runtime
            folders and of process markers.
    """

    path: Path
    identity: str

    @property
    def logs(self) -> Path:
        """Folder of the children's logs."""
        return self.path / "logs"

    def token(self, path: Path | None) -> Path:
        """Return the file with Ray's token, ``path`` or one in the home; created if missing.

        Raises:
            HomeError: The file is missing and cannot be written.
        """
        path = (path or self.path / "ray-token").absolute()
        if not path.is_file() or not path.read_text().strip():
            try:
                path.touch(mode=0o600)
                path.write_text(secrets.token_hex(32))
            except OSError as error:
                raise HomeError(
                    f"Ray's token {path} cannot be written: {error.strerror}."
                ) from error
        return path

    def ray_folder(self, suffix: str) -> Path:
        """Create an empty folder with a short name for Ray; the reaper removes it.

        Folders left by supervisors and reapers that were killed are removed.
        """
        for left in runtime_folder().glob(f"{self.identity}-*"):
            shutil.rmtree(left, ignore_errors=True)
        path = runtime_folder() / f"{self.identity}-{suffix}"
        path.mkdir(mode=0o700)
        return path


@contextmanager
def occupy(path: Path) -> Iterator[Home]:
    """Create the home if it is missing, and lock it.

    The kernel releases the lock when this process ends in any way; no child inherits it.

    Raises:
        HomeError: The folder cannot be written, is another user's, or another supervisor uses it.
    """
    path = make_private(path)
    try:
        (path / "logs").mkdir(mode=0o700, exist_ok=True)
        (path / "supervisor.lock").touch(mode=0o600)
        lock = (path / "supervisor.lock").open("a+")
    except OSError as error:
        raise HomeError(
            f"SASAM_HOME {path} cannot be written ({error.strerror}): {error.filename}. "
            "Make it writable or set another folder."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise HomeError(
                f"SASAM_HOME {path} is in use by {lock.read().strip() or 'another supervisor'}. "
                "Stop that process, or set another SASAM_HOME."
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, started {datetime.now().astimezone():%F %T}\n")
        lock.flush()
        yield Home(path, _identity(path))


def _identity(path: Path) -> str:
    """Short id of a folder; the same path on another file system, as in a container, differs."""
    return hashlib.sha256(f"{path.resolve()}:{path.stat().st_dev}".encode()).hexdigest()[:8]


def runtime_folder() -> Path:
    """Return this user's folder for sockets and locks, in the system's temporary folder.

    Raises:
        HomeError: The folder exists and is not private to this user.
    """
    name = f"sasam-{os.getuid()}"
    path = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(path / "01234567-0123")) > _FOLDER_BYTES:
        path = Path("/tmp") / name  # noqa: S108 - checked below
    path.mkdir(mode=0o700, exist_ok=True)
    return require_private(path)


def require_private(path: Path) -> Path:
    """Check that a folder is private to this user, and return its path.

    Raises:
        HomeError: It is a link, belongs to another user, or is accessible to others.
    """
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise HomeError(
            f"{path} must be a folder of user {os.getuid()} with mode 0700, got owner "
            f"{status.st_uid} and mode {stat.S_IMODE(status.st_mode):04o}. Remove it."
        )
    return path
