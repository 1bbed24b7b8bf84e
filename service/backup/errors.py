"""Errors of backup and restore."""

from __future__ import annotations

__all__ = ["BackupError"]


class BackupError(Exception):
    """A backup cannot be written or restored; the message gives the reason and the remedy."""
