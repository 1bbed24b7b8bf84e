"""Unpacks tar archives that others made: files and folders, and none of them outside."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

__all__ = ["unpack"]


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack an archive into a folder.

    ``tarfile`` has a filter for this since Python 3.11.4; Debian 12 has an earlier one.

    Raises:
        tarfile.TarError: It holds more than files and folders, or leads out of the folder.
    """
    for member in archive.getmembers():
        path = PurePosixPath(member.name)
        if not (member.isfile() or member.isdir()) or path.is_absolute() or ".." in path.parts:
            raise tarfile.TarError(f"it holds {member.name[:80]!r}, no file or folder of its own")
        member.mode = 0o755 if member.isdir() else 0o644
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)  # noqa: S202 - every member has been looked at
