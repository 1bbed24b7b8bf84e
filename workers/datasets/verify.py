"""Checksum verification of a data set's files; results are remembered in the folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from workers.datasets.archives import Archive
from workers.datasets.errors import DamagedDataError, MissingDataError

__all__ = ["checksum", "verify"]

_REMEMBERED = ".verified.json"


def verify(
    archive: Archive, data_dir: Path, *, key: str, only: Iterable[str] | None = None
) -> Path:
    """Return the folder of an archive after checking its files' MD5.

    A file whose size and modification time are those of the last check is not read again.

    Args:
        archive: The published archive.
        data_dir: Folder that contains the archive's folder.
        key: The setting that needs the files, for errors.
        only: Names of the files to check; all by default.

    Raises:
        MissingDataError: The folder or a file is not there.
        DamagedDataError: A file is not the published one.
    """
    folder = data_dir / archive.folder
    fetch = f"sasam data fetch {archive.name}"
    if not folder.is_dir():
        raise MissingDataError(
            key,
            f"{folder} is not there",
            f"run `{fetch}`, or put {archive.file_name} (from {archive.url}) into {data_dir} and "
            "run the same",
        )
    remembered = _recall(folder)
    found = dict(remembered)
    for name in only if only is not None else archive.files:
        path = folder / name
        if not path.is_file():
            raise MissingDataError(key, f"{path} is not there", f"run `{fetch}`")
        status = path.stat()
        mark = f"{archive.files[name]} {status.st_size} {status.st_mtime_ns}"
        if remembered.get(name) == mark:
            continue
        md5 = checksum(path, "md5")
        if md5 != archive.files[name]:
            raise DamagedDataError(
                key,
                f"{path} has the MD5 {md5}, not the published {archive.files[name]}",
                f"delete it and run `{fetch}`",
            )
        found[name] = mark
    if found != remembered:
        _remember(folder, found)
    return folder


def checksum(path: Path, algorithm: str) -> str:
    """Return a file's checksum in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _recall(folder: Path) -> dict[str, str]:
    """Return the marks of files that were checked."""
    try:
        marks = json.loads((folder / _REMEMBERED).read_text())
    except (OSError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}


def _remember(folder: Path, marks: dict[str, str]) -> None:
    """Write the marks; a folder that cannot be written is checked each time."""
    unfinished = folder / f"{_REMEMBERED}.{os.getpid()}"
    try:
        unfinished.write_text(json.dumps(marks))
        unfinished.replace(folder / _REMEMBERED)
    except OSError:
        unfinished.unlink(missing_ok=True)
