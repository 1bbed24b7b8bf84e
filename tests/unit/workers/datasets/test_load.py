from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from workers.catalog import datasets
from workers.catalog.catalog import _plugins
from workers.datasets import (
    DamagedDataError,
    DatasetError,
    ImageDataset,
    InsufficientSpaceError,
    InvalidRequestError,
    MissingDataError,
    load_dataset,
)
from workers.datasets.errors import system_errors
from workers.datasets.load import cache_folder


def test_load_digits_gives_all_of_them_split_in_balance(digits: ImageDataset) -> None:
    assert digits.train_images.shape == (1297, 8, 8, 1)
    assert digits.test_images.shape == (500, 8, 8, 1)
    assert digits.classes == tuple("0123456789")
    counts = np.bincount(digits.test_labels)
    assert counts.max() - counts.min() <= 3
    pixels = np.concatenate([digits.train_images, digits.test_images])
    assert (pixels.min(), pixels.max()) == (0, 255)
    facts = datasets.entry("digits").facts
    assert facts["train_images"] == len(digits.train)
    assert facts["classes"] == len(digits.classes)


def test_load_digits_are_those_of_scikit_learn(digits: ImageDataset) -> None:
    bunch = load_digits()
    ours = np.concatenate([digits.train_images, digits.test_images])[..., 0]
    theirs = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    pairs = (zip(labels, ours, strict=True), zip(bunch.target, theirs, strict=True))
    mine, expected = (sorted((int(label), x.tobytes()) for label, x in pair) for pair in pairs)
    assert mine == expected


def test_load_digits_twice_maps_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_dataset("digits", options={}, data_dir=tmp_path)
    monkeypatch.delattr("numpy.loadtxt")  # not read again
    second = load_dataset("digits", options={}, data_dir=tmp_path)
    assert second.fingerprint == first.fingerprint
    assert np.array_equal(second.test_images, first.test_images)


@pytest.mark.parametrize("damaged", ["train_images.npy", "dataset.json", "test_labels.npy"])
def test_load_with_a_damaged_cache_builds_it_again(damaged: str, tmp_path: Path) -> None:
    first = load_dataset("digits", options={}, data_dir=tmp_path)
    (entry,) = cache_folder(tmp_path).glob("digits-*")
    content = (entry / damaged).read_bytes()
    (entry / damaged).unlink()  # what maps it keeps the whole file
    (entry / damaged).write_bytes(content[: len(content) // 2])
    again = load_dataset("digits", options={}, data_dir=tmp_path)
    assert np.array_equal(again.train_images, first.train_images)
    assert np.array_equal(again.test_labels, first.test_labels)
    assert (entry / damaged).read_bytes() == content


def test_load_unknown_name_or_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"dataset\.name: .*'digit'.*did you mean digits"):
        load_dataset("digit", options={}, data_dir=tmp_path)
    with pytest.raises(InvalidRequestError, match=r"dataset\.kwargs\.size: digits has no such"):
        load_dataset("digits", options={"size": 16}, data_dir=tmp_path)


PLUGIN = """
import numpy as np
from workers.datasets import ImageDataset

def make_squares(*, options, data_dir):
    images = np.full((12, 8, 8, 1), options["grey"], np.uint8)
    labels = np.arange(12) % 2
    return ImageDataset.from_arrays("squares", images, labels, images, labels, ("a", "b"))

def make_failure(*, options, data_dir):
    raise {"OSError": OSError, "KeyError": KeyError}[options["kind"]]("the index is gone")

def make_nonsense(*, options, data_dir):
    return "no data set"
"""

ENTRY_POINTS = """
[sasam.datasets]
squares = squares_plugin:make_squares
failure = squares_plugin:make_failure
nonsense = squares_plugin:make_nonsense
gone = squares_plugin:make_gone
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of a user, installed as far as Python can tell."""
    site = tmp_path / "site"
    metadata = site / "squares_plugin-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "squares_plugin.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: squares-plugin\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    _plugins.cache_clear()
    yield
    _plugins.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_load_entry_point_caches_by_content(tmp_path: Path) -> None:
    first = load_dataset("squares", options={"grey": 7}, data_dir=tmp_path)
    other = load_dataset("squares", options={"grey": 8}, data_dir=tmp_path)
    assert isinstance(first.train_images.base, np.memmap)
    assert (first.train_images == 7).all()
    assert (other.train_images == 8).all()
    assert len(list(cache_folder(tmp_path).glob("squares-*"))) == 2


@pytest.mark.usefixtures("plugin")
def test_load_entry_point_that_is_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedDataError, match=r"dataset\.name: .*nonsense returned str"):
        load_dataset("nonsense", options={}, data_dir=tmp_path)
    with pytest.raises(InvalidRequestError, match=r"dataset\.name: .*make_gone"):
        load_dataset("gone", options={}, data_dir=tmp_path)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("kind", ["OSError", "KeyError"])
def test_load_entry_point_that_fails_is_named(kind: str, tmp_path: Path) -> None:
    message = rf"dataset\.name: data set failure failed: {kind}: .*the index is gone"
    with pytest.raises(DamagedDataError, match=message):
        load_dataset("failure", options={"kind": kind}, data_dir=tmp_path)


@pytest.mark.usefixtures("plugin")
def test_load_notes_survive_the_cache(tmp_path: Path) -> None:
    first = load_dataset("squares", options={"grey": 7}, data_dir=tmp_path)
    assert "12 of 12 training images hold a single colour" in first.notes
    assert load_dataset("squares", options={"grey": 7}, data_dir=tmp_path).notes == first.notes


def test_load_digits_is_what_it_was_and_without_notes(digits: ImageDataset) -> None:
    assert digits.fingerprint.startswith("8268120eb2ec8c0d")
    assert digits.notes == ()


def test_load_cache_of_an_older_version_without_notes_is_read(tmp_path: Path) -> None:
    load_dataset("digits", options={}, data_dir=tmp_path)
    (facts,) = cache_folder(tmp_path).glob("digits-*/dataset.json")
    content = json.loads(facts.read_text())
    del content["notes"]
    facts.write_text(json.dumps(content))
    inode = facts.stat().st_ino
    assert load_dataset("digits", options={}, data_dir=tmp_path).notes == ()
    assert facts.stat().st_ino == inode


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, InsufficientSpaceError, "k: the data: no space left on device; free some"),
        (errno.EDQUOT, InsufficientSpaceError, "k: the data: disk quota exceeded; free some"),
        (errno.EIO, MissingDataError, "k: the data cannot be read or written: Input/output error"),
    ],
)
def test_system_errors_become_errors_of_data(
    number: int, kind: type[DatasetError], message: str
) -> None:
    with pytest.raises(kind, match=message), system_errors("k", "the data"):
        raise OSError(number, os.strerror(number))


def test_load_from_a_file_system_without_space_is_a_final_refusal() -> None:
    """/dev/full answers every write as a full disk does."""
    with pytest.raises(InsufficientSpaceError), system_errors("dataset.name", "the data"):
        Path("/dev/full").write_text("x")
