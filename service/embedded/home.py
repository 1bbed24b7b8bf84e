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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from service.embedded.errors import HomeError
from service.embedded.privacy import make_private
from workers.moments import moment_text

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

    def log_folder(self) -> Path:
        """Return the folder of the children's logs; created if missing.

        Raises:
            HomeError: The folder cannot be created.
        """
        folder = self.path / "logs"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _not_writable(self.path, error) from error
        return folder

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

    The kernel releases the lock when this process ends in any way; no child inherits it. At the end
    of the block the lock file is removed, and a home that was created here if it is empty.

    Raises:
        HomeError: The folder cannot be written, is another user's, or another supervisor uses it.
    """
    is_new = not path.expanduser().exists()
    path = make_private(path)
    with _lock(path) as lock:
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, started {moment_text(datetime.now(UTC))}\n")
        lock.flush()
        try:
            yield Home(path, _identity(path))
        finally:
            _lock_file(path).unlink(missing_ok=True)
            if is_new:
                with suppress(OSError):  # not empty
                    path.rmdir()


def _lock(home: Path) -> IO[str]:
    """Open and lock the lock file of a home.

    Raises:
        HomeError: The file cannot be written, or another supervisor has locked it.
    """
    file = _lock_file(home)
    while True:
        try:
            file.touch(mode=0o600)
            lock = file.open("a+")
        except OSError as error:
            raise _not_writable(home, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with lock:
                lock.seek(0)
                holder = lock.read().strip() or "another supervisor"
            raise HomeError(
                f"SASAM_HOME {home} is in use by {holder}. "
                "Stop that process, or set another SASAM_HOME."
            ) from error
        # The previous holder may have removed the file between our opening and locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), file.stat()):
                return lock
        lock.close()


def _lock_file(home: Path) -> Path:
    return home / "supervisor.lock"


def _not_writable(home: Path, error: OSError) -> HomeError:
    return HomeError(
        f"SASAM_HOME {home} cannot be written ({error.strerror}): {error.filename}. "
        "Make it writable or set another folder."
    )


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
