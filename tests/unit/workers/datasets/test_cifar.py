from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.datasets import DamagedDataError, ImageDataset, MissingDataError, load_dataset
from workers.datasets.archives import CIFAR10, CIFAR100, Archive
from workers.datasets.cifar import _read, cifar
from workers.datasets.verify import checksum


def published(content: dict[str, Any]) -> bytes:
    """Return the opcodes of a Python 2 pickle (protocol 2) of bytes, lists and one array."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def whole(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    def item(value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            shape = b"".join(whole(size) for size in value.shape)
            return (
                b"cnumpy.core.multiarray\n_reconstruct\n"
                b"cnumpy\nndarray\n" + whole(0) + b"\x85" + text(b"b") + b"\x87R"
                b"(" + whole(1) + b"(" + shape + b"t"
                b"cnumpy\ndtype\n" + text(b"u1") + whole(0) + whole(1) + b"\x87R"
                b"(" + whole(3) + text(b"|") + b"NNN" + whole(-1) + whole(-1) + whole(0) + b"tb"
                b"\x89" + text(value.tobytes()) + b"tb"
            )
        if isinstance(value, list):
            return b"](" + b"".join(item(element) for element in value) + b"e"
        return text(value) if isinstance(value, bytes) else whole(value)

    pairs = b"".join(text(key.encode()) + item(value) for key, value in content.items())
    return b"\x80\x02}(" + pairs + b"u."


def make_files(folder: Path, record: Archive, label_key: str, names_key: str) -> Archive:
    """Write random files in the published format; return the record with their checksums."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    *batches, names = record.files
    for name in batches:
        data = generator.integers(0, 256, (20, 3072), np.uint8)
        labels = (np.arange(20) % 10).tolist()
        (folder / name).write_bytes(published({"data": data, label_key: labels}))
    (folder / names).write_bytes(published({names_key: [b"class %d" % i for i in range(10)]}))
    return dataclasses.replace(
        record, files={name: checksum(folder / name, "md5") for name in record.files}
    )


@pytest.fixture
def record(tmp_path: Path) -> Archive:
    return make_files(tmp_path / CIFAR10.folder, CIFAR10, "labels", "label_names")


def read(record: Archive, data_dir: Path) -> ImageDataset:
    return cifar(record, data_dir, label_key="labels", names_key="label_names").build()


def test_cifar10_planes_become_channels_in_the_files_order(record: Archive, tmp_path: Path) -> None:
    dataset = read(record, tmp_path)
    assert dataset.train_images.shape == (100, 32, 32, 3)
    assert dataset.test_images.shape == (20, 32, 32, 3)
    assert dataset.classes[9] == "class 9"
    generator = np.random.default_rng(0)
    first = generator.integers(0, 256, (20, 3072), np.uint8)
    assert np.array_equal(dataset.train_images[3, :, :, 1].reshape(-1), first[3, 1024:2048])
    assert dataset.train_labels[:12].tolist() == [*range(10), 0, 1]


def test_cifar100_uses_the_fine_labels(tmp_path: Path) -> None:
    record = make_files(tmp_path / CIFAR100.folder, CIFAR100, "fine_labels", "fine_label_names")
    source = cifar(record, tmp_path, label_key="fine_labels", names_key="fine_label_names")
    assert source.build().train_images.shape == (20, 32, 32, 3)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_load_without_files_says_what_to_run_and_what_goes_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as error:
        load_dataset(name, options={}, data_dir=tmp_path)
    assert error.value.key == "dataset.name"
    assert f"sasam data fetch {name}" in str(error.value)
    assert f"put cifar-{name[5:]}-python.tar.gz" in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_load_files_of_other_content_are_never_used(record: Archive, tmp_path: Path) -> None:
    with pytest.raises(
        DamagedDataError, match=r"data_batch_1 has the MD5 .*, not the published c99"
    ):
        load_dataset("cifar10", options={}, data_dir=tmp_path)


def test_file_changed_after_its_check_is_checked_again(record: Archive, tmp_path: Path) -> None:
    read(record, tmp_path)
    path = tmp_path / record.folder / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, 0))
    with pytest.raises(DamagedDataError, match="data_batch_3 has the MD5"):
        read(record, tmp_path)


def test_file_unchanged_since_its_check_is_not_read_again(
    record: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(record, tmp_path)
    monkeypatch.setattr(hashlib, "file_digest", None)
    read(record, tmp_path)


def test_missing_file_is_named(record: Archive, tmp_path: Path) -> None:
    (tmp_path / record.folder / "test_batch").unlink()
    with pytest.raises(MissingDataError, match=r"test_batch is not there; run `sasam data fetch"):
        read(record, tmp_path)


def test_pickle_with_any_other_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil").write_bytes(pickle.dumps({"data": Path("x")}))
    with pytest.raises(DamagedDataError, match="has no place in a data file"):
        _read(tmp_path / "evil")


def test_pickle_of_today_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(pickle.dumps({"data": np.arange(6, dtype=np.uint8)}, 2))
    assert _read(tmp_path / "new")["data"].tolist() == [0, 1, 2, 3, 4, 5]
