"""Where files lie that must outlive their node: in a folder that all nodes share, or on S3.

A file is there whole or not at all: a folder's is renamed into place, S3's appears when the upload
is complete. Credentials, region and endpoint are those that every AWS tool takes from the
environment (``AWS_SHARED_CREDENTIALS_FILE``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL``).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

__all__ = ["S3Path", "Stored", "locate", "reading", "writing"]

_SCHEME = "s3://"
_ATTEMPTS = 10
"""Of a request, with growing pauses: a store that is away for a minute costs that minute."""
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
        """The folder that it lies in."""
        return S3Path(self.key.parent)


Stored = Path | S3Path
"""A file or folder that outlives its node."""


def locate(address: str) -> Stored:
    """The place that a setting names: a folder, or ``s3://bucket/prefix``."""
    if address.startswith(_SCHEME):
        return S3Path(PurePosixPath(address.removeprefix(_SCHEME)))
    return Path(address)


@contextmanager
def writing(target: Stored) -> Iterator[BinaryIO]:
    """A file to fill; it takes the place of ``target`` at the end, unless something is raised.

    Raises:
        OSError: The disk is full, or S3 does not take it, and why.
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
    """A file to read, which can be searched.

    Raises:
        FileNotFoundError: There is none.
        OSError: S3 does not give it, and why.
    """
    if isinstance(source, S3Path):
        with _scratch() as scratch:
            _download(source, scratch)
            with scratch.open("rb") as file:
                yield file
        return
    with source.open("rb") as file:
        yield file


@contextmanager
def _scratch() -> Iterator[Path]:
    """A file of this node for a while."""
    with tempfile.TemporaryDirectory(prefix="sasam-") as folder:
        yield Path(folder, "file")


def _upload(source: Path, target: S3Path) -> None:
    """Copy a file to S3; Arrow's own way to copy does not tell when the end of it fails."""
    with source.open("rb") as file, _s3().open_output_stream(str(target.key)) as stream:
        shutil.copyfileobj(file, stream, _PART_BYTES)


def _download(source: S3Path, target: Path) -> None:
    """Copy a file from S3."""
    with _s3().open_input_file(str(source.key)) as stream, target.open("wb") as file:
        while part := stream.read(_PART_BYTES):
            file.write(part)


@cache
def _s3() -> S3FileSystem:
    """S3 as the environment describes it; the same connections for the life of the process."""
    from pyarrow import fs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        request_timeout=_REQUEST_TIMEOUT_SECONDS,
        allow_delayed_open=True,  # a small file is one request then, not three
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )
