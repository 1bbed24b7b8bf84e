"""Version of the code: release, and commit or digest of the sources."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["code_version", "git_commit"]


_SOURCES = Path(__file__).with_name("sources.txt")
"""Digest of the sources in container images, which are built without a checkout."""


def code_version() -> str:
    """Release, and commit or else a digest of the sources, such as ``0.1.0 (3f2a...)``."""
    detail = git_commit() or (_SOURCES.read_text().strip() if _SOURCES.exists() else "")
    return f"{version('sasam')} ({detail})" if detail else version("sasam")


def git_commit() -> str:
    """Commit of this checkout, with the suffix ``-dirty`` if files differ.

    Outside a checkout ``SASAM_GIT_COMMIT``, which container images set; empty if not set.
    """
    given = os.environ.get("SASAM_GIT_COMMIT", "")
    command = ["git", "describe", "--always", "--exclude=*", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return given
    return answer.stdout.strip() if answer.returncode == 0 else given
