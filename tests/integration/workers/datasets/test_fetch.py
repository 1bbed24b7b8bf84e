"""Downloads from a real HTTP server on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from workers.datasets import (
    DamagedDataError,
    InsufficientSpaceError,
    InvalidRequestError,
    MissingDataError,
    fetch,
)
from workers.datasets.archives import Archive
from workers.datasets.fetch import fetch_archive
from workers.datasets.verify import verify

CONTENT = {
    name: np.random.default_rng(seed).bytes(60_000) for seed, name in enumerate(("a.npy", "b.npy"))
}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one archive; can cut connections short and can ignore ranges."""

    daemon_threads = True

    def __init__(self, archive: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive = archive
        self.cut_after: list[int] = []
        """Bytes after which the next connections break off."""
        self.ranges = True
        self.requests: list[str | None] = []
        """The range of each request."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.requests.append(wanted)
        body = self.server.archive
        if wanted and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut_after:
            body = body[: self.server.cut_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in CONTENT.items():
            member = tarfile.TarInfo(f"TINY-C/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def server(archive: bytes) -> Iterator[Server]:
    with Server(archive) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def record(server: Server, archive: bytes) -> Archive:
    return Archive(
        name="tiny-c",
        url=f"http://127.0.0.1:{server.server_port}/TINY-C.tar.gz",
        file_name="TINY-C.tar.gz",
        size_bytes=len(archive),
        md5=md5(archive),
        sha256=hashlib.sha256(archive).hexdigest(),
        folder="TINY-C",
        extracted_bytes=120_000,
        files={name: md5(content) for name, content in CONTENT.items()},
    )


def assert_complete(folder: Path) -> None:
    for name, content in CONTENT.items():
        assert (folder / name).read_bytes() == content
    left = {path.name for path in folder.parent.iterdir()} - {folder.name}
    assert left <= {f".{folder.name}.lock", "TINY-C.tar.gz"}


def test_fetch_downloads_reports_checks_and_unpacks_once(
    server: Server, record: Archive, tmp_path: Path
) -> None:
    reports: list[tuple[int, int]] = []
    folder = fetch_archive(record, tmp_path, lambda done, total: reports.append((done, total)))
    assert_complete(folder)
    assert reports[-1] == (record.size_bytes, record.size_bytes)
    assert fetch_archive(record, tmp_path) == folder
    assert server.requests == [None]


def test_fetch_resumes_after_a_cut_connection(
    server: Server, record: Archive, tmp_path: Path
) -> None:
    server.cut_after = [50_000, 0, 20_000]
    assert_complete(fetch_archive(record, tmp_path))
    assert server.requests == [None, "bytes=50000-", "bytes=50000-", "bytes=70000-"]


def test_fetch_server_that_gives_up_keeps_the_part_for_the_next_call(
    server: Server, record: Archive, tmp_path: Path
) -> None:
    server.cut_after = [50_000, 0, 0, 0]
    with pytest.raises(MissingDataError) as error:
        fetch_archive(record, tmp_path)
    assert f"gave 50,000 of {record.size_bytes:,} bytes" in str(error.value)
    assert f"put TINY-C.tar.gz ({record.size_bytes:,} bytes, MD5 {record.md5})" in str(error.value)
    assert (tmp_path / "TINY-C.tar.gz.part").stat().st_size == 50_000
    server.requests.clear()
    assert_complete(fetch_archive(record, tmp_path))
    assert server.requests == ["bytes=50000-"]


def test_fetch_server_without_ranges_starts_over(
    server: Server, record: Archive, tmp_path: Path
) -> None:
    server.ranges = False
    server.cut_after = [50_000]
    assert_complete(fetch_archive(record, tmp_path))


def test_fetch_corrupted_archive_is_removed_and_never_used(
    server: Server, record: Archive, archive: bytes, tmp_path: Path
) -> None:
    server.archive = archive[:1000] + bytes([archive[1000] ^ 1]) + archive[1001:]
    with pytest.raises(DamagedDataError, match=r"has the sha256 .*, not the published"):
        fetch_archive(record, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".TINY-C.lock"]
    server.archive = archive
    assert_complete(fetch_archive(record, tmp_path))


def test_fetch_archive_that_is_too_long_is_refused(
    server: Server, record: Archive, archive: bytes, tmp_path: Path
) -> None:
    server.archive = archive + b"more"
    with pytest.raises(DamagedDataError, match="bytes, not the published"):
        fetch_archive(record, tmp_path)
    assert not (tmp_path / record.folder).exists()


def test_fetch_without_network_says_which_file_goes_where(record: Archive, tmp_path: Path) -> None:
    closed = dataclasses.replace(record, url="http://127.0.0.1:9/TINY-C.tar.gz")
    with pytest.raises(MissingDataError) as error:
        fetch_archive(closed, tmp_path)
    assert "Connection refused" in str(error.value)
    assert f"put TINY-C.tar.gz ({record.size_bytes:,} bytes" in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_fetch_archive_put_by_hand_is_used_and_kept(
    server: Server, record: Archive, archive: bytes, tmp_path: Path
) -> None:
    (tmp_path / "TINY-C.tar.gz").write_bytes(archive)
    assert_complete(fetch_archive(record, tmp_path))
    assert (tmp_path / "TINY-C.tar.gz").exists()
    assert server.requests == []


def test_fetch_wrong_archive_put_by_hand_is_refused_and_kept(
    record: Archive, archive: bytes, tmp_path: Path
) -> None:
    (tmp_path / "TINY-C.tar.gz").write_bytes(archive[:-1])
    with pytest.raises(DamagedDataError, match="bytes, not the published"):
        fetch_archive(record, tmp_path)
    assert (tmp_path / "TINY-C.tar.gz").exists()
    assert not (tmp_path / record.folder).exists()


def test_fetch_member_with_other_content_is_never_put_in_place(
    record: Archive, tmp_path: Path
) -> None:
    other = dataclasses.replace(record, files={**record.files, "b.npy": "0" * 32})
    with pytest.raises(DamagedDataError, match=r"b\.npy has the MD5"):
        fetch_archive(other, tmp_path)
    assert not (tmp_path / record.folder).exists()


def test_fetch_folder_that_lacks_a_file_is_fetched_again(record: Archive, tmp_path: Path) -> None:
    folder = fetch_archive(record, tmp_path)
    (folder / "a.npy").unlink()
    assert_complete(fetch_archive(record, tmp_path))


def test_fetch_folder_with_a_damaged_file_is_left_to_its_owner(
    server: Server, record: Archive, tmp_path: Path
) -> None:
    folder = fetch_archive(record, tmp_path)
    (folder / "a.npy").write_bytes(b"other")
    with pytest.raises(DamagedDataError, match=r"a\.npy has the MD5 .*; delete it and run"):
        fetch_archive(record, tmp_path)
    assert server.requests == [None]


def test_fetch_on_a_full_disk_starts_no_download(
    server: Server, record: Archive, tmp_path: Path
) -> None:
    huge = dataclasses.replace(record, extracted_bytes=2**60)
    with pytest.raises(InsufficientSpaceError):
        fetch_archive(huge, tmp_path)
    assert server.requests == []


def test_fetch_unknown_name_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="'mnist' cannot be fetched; fetch one of"):
        fetch("mnist", tmp_path)


def test_verify_ignores_marks_that_are_no_marks(record: Archive, tmp_path: Path) -> None:
    fetch_archive(record, tmp_path)
    (tmp_path / record.folder / ".verified.json").write_text("[1, 2]")
    assert verify(record, tmp_path, key="k") == tmp_path / record.folder
