"""Where the commit of a result comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers import code_version

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_git_commit_outside_a_checkout_is_the_one_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_version, "__file__", str(tmp_path / "code_version.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_version.git_commit() == ""
    monkeypatch.setenv("SASAM_GIT_COMMIT", COMMIT)
    assert code_version.git_commit() == COMMIT
    monkeypatch.setenv("PATH", str(tmp_path))  # images have no git
    assert code_version.git_commit() == COMMIT
