"""Downloads the published archives: resumed, checked, unpacked under their final names last.

A file that fails its check is removed and never used. Without a network the error says which file
to put where.
"""

from __future__ import annotations

import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from workers.datasets.cache import locked, require_space
from workers.datasets.cells import Progress
from workers.datasets.errors import (
    DamagedDataError,
    InvalidRequestError,
    MissingDataError,
)
from workers.datasets.records import RECORDS, Record
from workers.datasets.verify import checksum, verify
from workers.unpacking import unpack

__all__ = ["fetch", "fetch_record"]

_BLOCK_BYTES = 2**20
_TIMEOUT_SECONDS = 60
_MOST_STALLS = 3  # connections in a row that brought nothing
_KEY = "dataset.name"


def fetch(name: str, data_dir: Path, progress: Progress | None = None) -> Path:
    """Return the folder of a published data set; download and unpack it where it is not there.

    An archive that lies in ``data_dir`` is used instead of the network, and kept. A download that
    was cut off goes on from ``<archive>.part``, which is removed once its files are in place.

    Args:
        name: ``cifar10``, ``cifar100`` or ``cifar10-c``.
        data_dir: Where its folder goes.
        progress: Called with the bytes downloaded and their total.

    Raises:
        InvalidRequestError: There is no such data set to fetch.
        MissingDataError: The server cannot be reached or stopped early.
        DamagedDataError: What came, or what lies there, is not what was published.
        InsufficientSpaceError: The disk is too small for the archive and its files.
    """
    if name not in RECORDS:
        raise InvalidRequestError(
            _KEY, f"{name!r} cannot be fetched", f"fetch one of: {', '.join(RECORDS)}"
        )
    return fetch_record(RECORDS[name], data_dir, progress)


def fetch_record(record: Record, data_dir: Path, progress: Progress | None = None) -> Path:
    """Return the folder of a record, fetched as `fetch` says."""
    with locked(data_dir / record.folder):
        if (data_dir / record.folder).is_dir():
            # Without a file it is fetched again; with a wrong one, only a person may remove it.
            with suppress(MissingDataError):
                return verify(record, data_dir, key=_KEY)
        given, part = data_dir / record.archive, data_dir / f"{record.archive}.part"
        if given.exists():
            require_space(data_dir, record.extracted_bytes, key=_KEY)
            _check_archive(record, given)
            return _unpack(record, given)
        there = part.stat().st_size if part.exists() else 0
        need = record.size_bytes - there + record.extracted_bytes
        require_space(data_dir, need, key=_KEY)
        _download(record, part, progress)
        try:
            _check_archive(record, part)
            return _unpack(record, part)
        finally:
            part.unlink()


def _download(record: Record, part: Path, progress: Progress | None) -> None:
    """Append to ``part`` what it lacks, over as many connections as bring something."""
    stalls, reason = 0, "the connection ended early"
    while (there := part.stat().st_size if part.exists() else 0) < record.size_bytes:
        if stalls == _MOST_STALLS:
            raise MissingDataError(
                _KEY,
                f"{record.url} gave {there:,} of {record.size_bytes:,} bytes: {reason}",
                f"run `sasam data fetch {record.name}` again to go on, or put {record.archive} "
                f"({record.size_bytes:,} bytes, MD5 {record.md5}) into {part.parent} and run it",
            )
        try:
            _receive(record, part, there, progress)
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            reason = str(error)
        grown = part.exists() and part.stat().st_size > there
        stalls = 0 if grown else stalls + 1


def _receive(record: Record, part: Path, there: int, progress: Progress | None) -> None:
    """Append what one connection brings, from byte ``there`` on."""
    request = urllib.request.Request(record.url)  # noqa: S310 (a record's own http or https)
    if there:
        request.add_header("Range", f"bytes={there}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        # A server that ignores the range sends all from the start.
        with part.open("ab" if resumed else "wb") as file:
            done = file.tell()
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(min(done, record.size_bytes), record.size_bytes)
                if done > record.size_bytes:
                    return  # too long: the check that follows says so


def _check_archive(record: Record, archive: Path) -> None:
    """Raise DamagedDataError unless the archive is the published one."""
    size = archive.stat().st_size
    if size != record.size_bytes:
        found, published = f"{size:,} bytes", f"{record.size_bytes:,}"
    else:
        algorithm, published = ("sha256", record.sha256) if record.sha256 else ("md5", record.md5)
        found = checksum(archive, algorithm)
        if found == published:
            return
        found = f"the {algorithm} {found}"
    raise DamagedDataError(
        _KEY,
        f"{archive} has {found}, not the published {published}",
        f"run `sasam data fetch {record.name}` with a good copy or none in that place",
    )


def _unpack(record: Record, archive: Path) -> Path:
    """Unpack and check beside, then rename: a record's folder is whole where it exists."""
    folder = archive.parent / record.folder
    beside = archive.parent / f".{record.folder}.unfinished"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            unpack(tar, beside)
        unpacked = verify(record, beside, key=_KEY)
        shutil.rmtree(folder, ignore_errors=True)
        return unpacked.rename(folder)
    except tarfile.TarError as error:
        raise DamagedDataError(
            _KEY, f"{archive} cannot be unpacked: {error}", "remove it and fetch it again"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
