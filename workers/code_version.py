"""Which code a result came from."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["code_version", "git_commit"]


_SOURCES = Path(__file__).with_name("sources.txt")
"""Digest of the sources, which images have: they are built without a checkout."""


def code_version() -> str:
    """The release, and the commit or else a digest of the sources: ``0.1.0 (3f2a...)``."""
    detail = git_commit() or (_SOURCES.read_text().strip() if _SOURCES.exists() else "")
    return f"{version('sasam')} ({detail})" if detail else version("sasam")


def git_commit() -> str:
    """The commit of this checkout, with a mark when files differ.

    Outside a checkout: ``SASAM_GIT_COMMIT``, which the images set; empty where that is not set.
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
