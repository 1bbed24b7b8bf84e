"""Files that outlive their node: atomic reads and writes in a shared folder or on S3.

A file exists completely or not at all: in a folder it is renamed into place, on S3 it appears when
the upload is complete. Credentials, region and endpoint come from the usual environment variables
of AWS (``AWS_SHARED_CREDENTIALS_FILE``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL``).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

__all__ = [
    "CHECKPOINT",
    "S3Path",
    "Stored",
    "checkpoint_path",
    "locate",
    "reading",
    "trials_folder",
    "writing",
]

CHECKPOINT = "checkpoint.pt"
"""File of a trial in its folder."""

_SCHEME = "s3://"
_ATTEMPTS = 10
"""Attempts of a request, with growing pauses: about a minute of an unavailable store."""
_CONNECT_TIMEOUT_SECONDS = 10.0
_REQUEST_TIMEOUT_SECONDS = 60.0
_PART_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class S3Path:
    """A file or folder on S3.

    Args:
        key: Bucket and name, such as ``bucket/prefix/file``.
    """

    key: PurePosixPath

    def __truediv__(self, name: str) -> S3Path:
        return S3Path(self.key / name)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.key}"

    @property
    def parent(self) -> S3Path:
        """The parent folder."""
        return S3Path(self.key.parent)


Stored = Path | S3Path
"""A file or folder that outlives its node."""


def locate(address: str) -> Stored:
    """Parse the address in a setting: a folder, or ``s3://bucket/prefix``."""
    if address.startswith(_SCHEME):
        return S3Path(PurePosixPath(address.removeprefix(_SCHEME)))
    return Path(address)


def trials_folder(storage_path: str, sweep_id: str) -> Stored:
    """The folder of a sweep's trials, each of which has its own; in the address of a setting."""
    return locate(storage_path) / "sweeps" / sweep_id / "checkpoints"


def checkpoint_path(storage_path: str, sweep_id: str, key: str) -> Stored:
    """The checkpoint of a trial, whether it exists or not."""
    return trials_folder(storage_path, sweep_id) / key / CHECKPOINT


@contextmanager
def writing(target: Stored) -> Iterator[BinaryIO]:
    """Open a file for writing; it replaces ``target`` at the end, unless an error is raised.

    Raises:
        OSError: The file cannot be written, such as because the disk is full.
    """
    if isinstance(target, S3Path):
        with _scratch() as scratch:
            with scratch.open("wb") as file:
                yield file
            _upload(scratch, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def reading(source: Stored) -> Iterator[BinaryIO]:
    """Open a seekable file for reading.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be read.
    """
    if isinstance(source, S3Path):
        with _scratch() as scratch:
            _download(source, scratch)
            with scratch.open("rb") as file:
                yield file
        return
    with open(source, "rb", opener=_open_regular) as file:
        yield file


def _open_regular(path: str, flags: int) -> int:
    """Open a regular file: no link, which a trial's own code could set, and no pipe."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileNotFoundError(errno.ENOENT, "no regular file", path)
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary file on this node."""
    with tempfile.TemporaryDirectory(prefix="sasam-") as folder:
        yield Path(folder, "file")


def _upload(source: Path, target: S3Path) -> None:
    """Copy a file to S3; Arrow's own copy function hides an error at its end."""
    with source.open("rb") as file, _s3(_endpoint()).open_output_stream(str(target.key)) as stream:
        shutil.copyfileobj(file, stream, _PART_BYTES)


def _download(source: S3Path, target: Path) -> None:
    """Copy a file from S3."""
    with _s3(_endpoint()).open_input_file(str(source.key)) as stream, target.open("wb") as file:
        while part := stream.read(_PART_BYTES):
            file.write(part)


def _endpoint() -> str | None:
    """The S3 server in the environment; None for that of AWS."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@cache
def _s3(endpoint: str | None) -> S3FileSystem:
    """The client of an S3 server, with the credentials in the environment; one per process."""
    from pyarrow import fs

    return fs.S3FileSystem(
        endpoint_override=endpoint,
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        request_timeout=_REQUEST_TIMEOUT_SECONDS,
        allow_delayed_open=True,  # one request instead of three for a small file
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )
