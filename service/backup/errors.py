"""What can be wrong with backups."""

from __future__ import annotations

__all__ = ["BackupError"]


class BackupError(Exception):
    """A backup cannot be written or restored; the message says why and what helps."""
