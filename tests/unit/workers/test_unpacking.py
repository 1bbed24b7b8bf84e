"""What an archive may do to the disk, on Pythons with and without a filter of their own."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from workers.unpacking import unpack


@pytest.fixture(params=["with the filter", "without"], autouse=True)
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.delattr(tarfile, "data_filter")


def archive(**members: str) -> tarfile.TarFile:
    """An archive of files, and of links where the content begins with an arrow."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o6777
            if text.startswith("->"):
                member.type, member.linkname = tarfile.SYMTYPE, text[2:]
            else:
                member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    content.seek(0)
    return tarfile.open(fileobj=content)


def test_files_are_unpacked_with_plain_modes(tmp_path: Path) -> None:
    with archive(**{"a/b.txt": "hello"}) as tar:
        unpack(tar, tmp_path)
    assert (tmp_path / "a" / "b.txt").read_text() == "hello"
    assert (tmp_path / "a" / "b.txt").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize(
    ("name", "text"),
    [("../out", "x"), ("a/../../out", "x"), ("/tmp/out", "x"), ("link", "->/etc")],  # noqa: S108
)
def test_what_leads_out_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, text: str
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with archive(**{"first": "x", name: text}) as tar, pytest.raises(tarfile.TarError, match=name):
        unpack(tar, inside)
    assert list(tmp_path.iterdir()) == [inside]
    assert list(inside.iterdir()) == []
