from __future__ import annotations

import logging
import os
import pickle

import pytest
import torch

from workers import checkpoints
from workers.checkpoints import load_checkpoint, save_checkpoint
from workers.durable_storage import reading


def test_load_checkpoint_returns_what_was_saved(tmp_path):
    state = {"weights": torch.arange(3.0), "record": {"outcome": "completed", "n": 3, "x": 0.1}}
    save_checkpoint(tmp_path / "deep" / "file.pt", state)
    loaded = load_checkpoint(tmp_path / "deep" / "file.pt")
    assert torch.equal(loaded["weights"], state["weights"])
    assert loaded["record"] == state["record"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.pt"]


def test_load_checkpoint_absent_gives_none(tmp_path):
    assert load_checkpoint(tmp_path / "file.pt") is None


def test_save_checkpoint_that_fails_keeps_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "file.pt"
    save_checkpoint(path, {"epoch": 1})

    def full_disk(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 1, 100, 700])
def test_load_checkpoint_damaged_warns_and_gives_none(tmp_path, caplog, size):
    path = tmp_path / "file.pt"
    save_checkpoint(path, {"weights": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:size])
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(path) is None
    assert str(path) in caplog.text


def test_load_checkpoint_other_format_starts_again(tmp_path, monkeypatch, caplog):
    path = tmp_path / "file.pt"
    save_checkpoint(path, {"epoch": 1})
    monkeypatch.setattr(checkpoints, "FORMAT", checkpoints.FORMAT + 1)
    assert load_checkpoint(path) is None
    assert "format" in caplog.text


class Payload:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_load_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": checkpoints.FORMAT, "state": Payload()}, tmp_path / "torch.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    assert load_checkpoint(tmp_path / "torch.pt") is None
    assert load_checkpoint(tmp_path / "pickle.pt") is None
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_only_a_regular_file_is_read(tmp_path, kind):
    (tmp_path / "secret").write_text("token")
    place = tmp_path / "checkpoint.pt"
    if kind == "link":
        place.symlink_to(tmp_path / "secret")
    else:
        os.mkfifo(place)
    with pytest.raises(FileNotFoundError, match="no regular file"), reading(place):
        pass
