"""Files in a folder and on a real S3 server: whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.support.object_store import BUCKET, ObjectStore
from workers import durable_storage
from workers.checkpoints import load_checkpoint, save_checkpoint
from workers.durable_storage import S3Path, Stored, locate, reading, writing
from workers.logs import TrialLog, read_trial_log


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, object_store: ObjectStore) -> Stored:
    """Where a test writes, on each kind of durable_storage."""
    durable_storage._s3.cache_clear()
    address = f"s3://{BUCKET}/{tmp_path.name}" if request.param == "s3" else str(tmp_path)
    return locate(address)


def put(place: Stored, content: bytes) -> None:
    with writing(place) as file:
        file.write(content)


def get(place: Stored) -> bytes:
    with reading(place) as file:
        return file.read()


def test_address_is_a_folder_or_on_s3() -> None:
    assert locate("/mnt/sasam") / "sweeps" == Path("/mnt/sasam/sweeps")
    place = locate("s3://bucket/prefix") / "sweeps" / "a"
    assert isinstance(place, S3Path)
    assert str(place) == "s3://bucket/prefix/sweeps/a"
    assert str(place.parent) == "s3://bucket/prefix/sweeps"


@pytest.mark.parametrize("size", [0, 3, 70_000_000], ids=["empty", "small", "several parts"])
def test_what_is_written_is_read(place: Stored, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"\n" * (size % 256)
    for part in (b"before", content):
        put(place / "deep" / "file", part)
    assert get(place / "deep" / "file") == content


def test_writer_that_raises_leaves_what_was_there(place: Stored) -> None:
    def tear(name: str) -> None:
        with writing(place / name) as file:
            file.write(b"torn")
            raise KeyError

    put(place / "file", b"whole")
    for name in ("file", "new"):
        with pytest.raises(KeyError):
            tear(name)
    assert get(place / "file") == b"whole"
    with pytest.raises(FileNotFoundError):
        get(place / "new")


def test_bucket_that_is_not_there_takes_nothing(object_store: ObjectStore) -> None:
    durable_storage._s3.cache_clear()
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        put(locate("s3://no-such-bucket/file"), b"x")


def test_checkpoint_is_kept(place: Stored) -> None:
    assert load_checkpoint(place / "file.pt") is None
    save_checkpoint(place / "file.pt", {"weights": torch.arange(3)})
    loaded = load_checkpoint(place / "file.pt")
    assert loaded is not None
    assert torch.equal(loaded["weights"], torch.arange(3))


def test_damaged_checkpoint_on_s3_costs_itself(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    durable_storage._s3.cache_clear()
    path = locate(f"s3://{BUCKET}/damaged.pt")
    put(path, b"PK half")
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(path) is None
    assert f"s3://{BUCKET}/damaged.pt" in caplog.text


def test_unavailable_store_is_awaited_and_not_taken_for_a_missing_checkpoint(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable_storage, "_ATTEMPTS", 2)
    durable_storage._s3.cache_clear()
    path = locate(f"s3://{BUCKET}/away.pt")
    save_checkpoint(path, {"epoch": 1})
    object_store.stop()
    try:
        with pytest.raises(OSError, match="AWS Error NETWORK_CONNECTION"):
            load_checkpoint(path)
        with pytest.raises(OSError, match="AWS Error NETWORK_CONNECTION"):
            save_checkpoint(path, {"epoch": 2})
    finally:
        object_store.start_again()
    assert load_checkpoint(path) == {"epoch": 1}
    durable_storage._s3.cache_clear()


def test_log_of_a_trial_moves_with_it_from_node_to_node(place: Stored, tmp_path: Path) -> None:
    for number, node in enumerate("aba"):
        log = TrialLog()
        log.follow(tmp_path / node if isinstance(place, S3Path) else tmp_path, place)
        logging.getLogger("workers.x").info("line %d", number)
        log.publish()
        log.close()
    lines = read_trial_log(place).splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["line 0", "line 1", "line 2"]
