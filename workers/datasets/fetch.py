"""Download of the published archives: resumable, checked, unpacked, then renamed into place.

A file that fails its check is removed and never used. Without a network the error names the file
and the folder to put it in.
"""

from __future__ import annotations

import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from workers.datasets.archives import ARCHIVES, Archive
from workers.datasets.cache import locked, require_space
from workers.datasets.corruption_cells import Progress
from workers.datasets.errors import (
    DamagedDataError,
    InvalidRequestError,
    MissingDataError,
)
from workers.datasets.verify import checksum, verify
from workers.unpacking import unpack

__all__ = ["fetch", "fetch_archive"]

_BLOCK_BYTES = 2**20
_TIMEOUT_SECONDS = 60
_MAX_STALLS = 3  # consecutive connections without data
_KEY = "dataset.name"


def fetch(name: str, data_dir: Path, progress: Progress | None = None) -> Path:
    """Return the folder of a published data set; download and unpack it where it is not there.

    An archive file in ``data_dir`` is used instead of the network, and kept. An interrupted
    download resumes from ``<file name>.part``, which is removed once its files are in place.

    Args:
        name: ``cifar10``, ``cifar100``, ``cifar10-c`` or ``cifar100-c``.
        data_dir: Where its folder goes.
        progress: Called with the bytes downloaded and their total.

    Raises:
        InvalidRequestError: There is no such data set to fetch.
        MissingDataError: The server cannot be reached or stopped early.
        DamagedDataError: What came, or what lies there, is not what was published.
        InsufficientSpaceError: The disk is too small for the archive and its files.
    """
    if name not in ARCHIVES:
        raise InvalidRequestError(
            _KEY, f"{name!r} cannot be fetched", f"fetch one of: {', '.join(ARCHIVES)}"
        )
    return fetch_archive(ARCHIVES[name], data_dir, progress)


def fetch_archive(archive: Archive, data_dir: Path, progress: Progress | None = None) -> Path:
    """Return the folder of an archive, fetched as `fetch` says."""
    with locked(data_dir / archive.folder):
        if (data_dir / archive.folder).is_dir():
            # A missing file is fetched again; a damaged one is an error, for the user to remove it.
            with suppress(MissingDataError):
                return verify(archive, data_dir, key=_KEY)
        given, part = data_dir / archive.file_name, data_dir / f"{archive.file_name}.part"
        if given.exists():
            require_space(data_dir, archive.extracted_bytes, key=_KEY)
            _check_archive(archive, given)
            return _unpack(archive, given)
        there = part.stat().st_size if part.exists() else 0
        need = archive.size_bytes - there + archive.extracted_bytes
        require_space(data_dir, need, key=_KEY)
        _download(archive, part, progress)
        try:
            _check_archive(archive, part)
            return _unpack(archive, part)
        finally:
            part.unlink()


def _download(archive: Archive, part: Path, progress: Progress | None) -> None:
    """Append the missing bytes to ``part``; reconnect as long as connections bring data."""
    stalls, reason = 0, "the connection ended early"
    while (there := part.stat().st_size if part.exists() else 0) < archive.size_bytes:
        if stalls == _MAX_STALLS:
            raise MissingDataError(
                _KEY,
                f"{archive.url} gave {there:,} of {archive.size_bytes:,} bytes: {reason}",
                f"run `sasam data fetch {archive.name}` again to go on, or put {archive.file_name} "
                f"({archive.size_bytes:,} bytes, MD5 {archive.md5}) into {part.parent} and run it",
            )
        try:
            _receive(archive, part, there, progress)
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            reason = str(error)
        grown = part.exists() and part.stat().st_size > there
        stalls = 0 if grown else stalls + 1


def _receive(archive: Archive, part: Path, there: int, progress: Progress | None) -> None:
    """Append the data of one connection, which starts at byte ``there``."""
    request = urllib.request.Request(archive.url)  # noqa: S310 - a fixed http or https address
    if there:
        request.add_header("Range", f"bytes={there}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - likewise
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        # A server that ignores the range sends all from the start.
        with part.open("ab" if resumed else "wb") as file:
            done = file.tell()
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(min(done, archive.size_bytes), archive.size_bytes)
                if done > archive.size_bytes:
                    return  # too long: the check that follows reports it


def _check_archive(archive: Archive, path: Path) -> None:
    """Raise DamagedDataError unless the archive is the published one."""
    size = path.stat().st_size
    if size != archive.size_bytes:
        found, published = f"{size:,} bytes", f"{archive.size_bytes:,}"
    else:
        algorithm, published = (
            ("sha256", archive.sha256) if archive.sha256 else ("md5", archive.md5)
        )
        found = checksum(path, algorithm)
        if found == published:
            return
        found = f"the {algorithm} {found}"
    raise DamagedDataError(
        _KEY,
        f"{path} has {found}, not the published {published}",
        f"run `sasam data fetch {archive.name}` with a good copy or none in that place",
    )


def _unpack(archive: Archive, path: Path) -> Path:
    """Unpack and check in another folder, then rename it: a folder that exists is complete."""
    folder = path.parent / archive.folder
    beside = path.parent / f".{archive.folder}.unfinished"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with tarfile.open(path) as tar:
            unpack(tar, beside)
        unpacked = verify(archive, beside, key=_KEY)
        shutil.rmtree(folder, ignore_errors=True)
        return unpacked.rename(folder)
    except tarfile.TarError as error:
        raise DamagedDataError(
            _KEY, f"{path} cannot be unpacked: {error}", "remove it and fetch it again"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
