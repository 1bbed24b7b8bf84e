from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workers.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from workers.datasets import (
    CorruptionCell,
    DamagedDataError,
    DatasetError,
    ImageDataset,
    InvalidRequestError,
    MissingDataError,
    corrupted,
    corrupted_test_set,
)
from workers.datasets.archives import CIFAR10_C, CIFAR100_C
from workers.datasets.verify import checksum

NAMES = ("fog", "contrast")


@pytest.mark.slow
def test_generated_cells_are_the_corrupted_test_images(digits: ImageDataset, cache: Path) -> None:
    found = corrupted_test_set(digits, NAMES, (4, 2), seed=3, cache_dir=cache)
    assert list(found.cells) == [("fog", 4), ("fog", 2), ("contrast", 4), ("contrast", 2)]
    assert found.source == "generated"
    assert np.array_equal(found.labels, digits.test_labels)
    for cell, images in found:
        assert np.array_equal(images, corrupt(digits.test_images, *cell, seed=3))
        assert isinstance(images.base, np.memmap)
    assert np.array_equal(found.images("fog", 2), found.cells[CorruptionCell("fog", 2)])


@pytest.mark.slow
def test_whole_set_of_digits_takes_seconds_and_is_reused(
    digits: ImageDataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[tuple[int, int]] = []
    first = corrupted_test_set(
        digits,
        CORRUPTIONS,
        SEVERITIES,
        cache_dir=cache,
        progress=lambda done, total: reports.append((done, total)),
    )
    assert len(first) == 95
    assert reports[-1] == (95 * 500, 95 * 500)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    monkeypatch.setattr(corrupted, "corrupt", None)  # nothing is made again
    second = corrupted_test_set(digits, CORRUPTIONS, SEVERITIES, cache_dir=cache)
    assert second.fingerprint == first.fingerprint
    assert np.array_equal(second.images("snow", 5), first.images("snow", 5))
    part = corrupted_test_set(digits, ["snow"], [5], cache_dir=cache)
    assert np.array_equal(part.images("snow", 5), first.images("snow", 5))


def test_cells_missing_after_a_crash_are_made_and_the_others_kept(
    digits: ImageDataset, cache: Path
) -> None:
    whole = corrupted_test_set(digits, NAMES, SEVERITIES, cache_dir=cache)
    expected = whole.images("fog", 3).copy()
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    kept = (folder / "fog-2.npy").stat().st_mtime_ns
    (folder / "fog-3.npy").unlink()
    (folder / ".fog-3.npy.unfinished").write_bytes(b"cut off")
    again = corrupted_test_set(digits, NAMES, SEVERITIES, cache_dir=cache)
    assert np.array_equal(again.images("fog", 3), expected)
    assert (folder / "fog-2.npy").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_processes_that_start_together_make_each_cell_once(
    digits: ImageDataset, cache: Path
) -> None:
    program = """
import sys
from pathlib import Path
from workers.datasets import corrupted, corrupted_test_set, load_dataset

made, corrupt = [], corrupted.corrupt
def counted(images, *cell, **settings):
    made.append(cell)
    return corrupt(images, *cell, **settings)
corrupted.corrupt = counted

data = load_dataset("digits", options={}, data_dir=Path(sys.argv[1]))
sys.stdin.readline()
found = corrupted_test_set(data, ["fog", "snow"], [1, 2, 3], cache_dir=Path(sys.argv[1]))
print(len(made), sum(int(images.sum()) for _, images in found))
"""
    load = [sys.executable, "-c", program, str(cache)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(load, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    answers = [process.communicate("go\n")[0].split() for process in processes]
    assert sum(int(made) for made, _ in answers) == 6
    assert len({pixels for _, pixels in answers}) == 1


def test_subset_of_images_keeps_their_pixels_and_balance(digits: ImageDataset, cache: Path) -> None:
    whole = corrupted_test_set(digits, ["glass_blur"], [3], seed=1, cache_dir=cache)
    part = corrupted_test_set(digits, ["glass_blur"], [3], images=50, seed=1, cache_dir=cache)
    assert np.bincount(part.labels).tolist() == [5] * 10
    assert part.fingerprint != whole.fingerprint
    known = {image.tobytes() for image in whole.images("glass_blur", 3)}
    assert all(image.tobytes() in known for image in part.images("glass_blur", 3))


def test_other_seed_or_data_has_other_pixels_and_fingerprint(
    digits: ImageDataset, tiny: ImageDataset, cache: Path
) -> None:
    first = corrupted_test_set(digits, ["snow"], [1], seed=0, cache_dir=cache)
    other = corrupted_test_set(digits, ["snow"], [1], seed=1, cache_dir=cache)
    assert not np.array_equal(first.images("snow", 1), other.images("snow", 1))
    third = corrupted_test_set(tiny, ["snow"], [1], seed=0, cache_dir=cache)
    assert third.images("snow", 1).shape == (40, 9, 8, 3)
    assert len({first.fingerprint, other.fingerprint, third.fingerprint}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 95, 500, 2048])
def test_stratified_subset_is_balanced_over_classes_and_cells(
    size: int, digits: ImageDataset, cache: Path
) -> None:
    found = corrupted_test_set(digits, NAMES, SEVERITIES, cache_dir=cache)
    subset = found.stratified_subset(size, seed=2)
    assert len(subset) == len(subset.images) == size
    shares = size * np.bincount(digits.test_labels) / 500
    assert (np.abs(np.bincount(subset.labels, minlength=10) - shares) < 1).all()

    position = 0  # the cells follow one another; each image is one of its cell's, used once
    for _, images in found:
        count = 0
        own = {image.tobytes(): label for image, label in zip(images, found.labels, strict=True)}
        while position < size and count < size // 10 + (size % 10 > 0):
            if own.get(subset.images[position].tobytes()) != subset.labels[position]:
                break
            position, count = position + 1, count + 1
        assert count in (size // 10, size // 10 + 1)
    assert position == size


def test_stratified_subset_is_fixed_by_its_seed_and_at_most_everything(
    tiny: ImageDataset, cache: Path
) -> None:
    found = corrupted_test_set(tiny, NAMES, [1, 5], cache_dir=cache)
    first, again, other = (found.stratified_subset(50, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
    whole = found.stratified_subset(9999, seed=0)
    expected = np.concatenate(list(found.cells.values()))
    assert np.array_equal(whole.images, expected)
    with pytest.raises(InvalidRequestError, match=r"curvature\.images: 0 images"):
        found.stratified_subset(0, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruptions": ["fog", "rain"]}, r"ood\.corruptions: 'rain' does not exist; choose from"),
        ({"corruptions": []}, r"ood\.corruptions: \[\] is empty"),
        ({"corruptions": ["fog", "fog"]}, r"ood\.corruptions: .* repeats one"),
        ({"severities": [0]}, r"ood\.severities: 0 does not exist; choose from 1, 2, 3, 4, 5"),
        ({"images": 501}, r"ood\.images: 501 images are requested; 1 to 500"),
        ({"source": "official"}, r"ood\.source: digits has no official files"),
    ],
)
def test_bad_request_is_named(
    changes: dict[str, object], message: str, digits: ImageDataset, cache: Path
) -> None:
    request = {"corruptions": ["fog"], "severities": [1], "cache_dir": cache, **changes}
    with pytest.raises(DatasetError, match=message):
        corrupted_test_set(digits, **request)  # type: ignore[arg-type]
    assert not cache.exists()


def test_images_too_small_to_corrupt_are_refused(cache: Path) -> None:
    images, labels = np.zeros((4, 7, 9, 1), np.uint8), np.arange(4) % 2
    small = ImageDataset.from_arrays("small", images, labels, images, labels, ("a", "b"))
    with pytest.raises(InvalidRequestError, match="ood: small has images of 7 x 9 pixels"):
        corrupted_test_set(small, ["fog"], [1], cache_dir=cache)


@pytest.fixture
def cifar(tiny: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageDataset:
    """A data set named cifar10 and a record of "official" files for it, of two corruptions."""
    folder = tmp_path / CIFAR10_C.folder
    folder.mkdir()
    generator = np.random.default_rng(1)
    for name in NAMES:
        pixels = generator.integers(0, 256, (200, 9, 8, 3), np.uint8)
        np.save(folder / f"{name}.npy", pixels)
    np.save(folder / "labels.npy", np.tile(tiny.test_labels, 5).astype(np.uint8))
    sums = {path.name: checksum(path, "md5") for path in folder.iterdir()}
    record = dataclasses.replace(CIFAR10_C, files={**CIFAR10_C.files, **sums})
    monkeypatch.setattr(corrupted, "OFFICIAL_CORRUPTIONS", {"cifar10": record})
    return dataclasses.replace(tiny, name="cifar10")


@pytest.fixture
def hundred() -> ImageDataset:
    """A small data set with the name and the number of classes of CIFAR-100."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (100, 9, 8, 3), np.uint8)
    labels, classes = np.arange(100), tuple(f"class {n}" for n in range(100))
    return ImageDataset.from_arrays("cifar100", images, labels, images[::-1], labels, classes)


def publish_cifar100_c(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fog: np.ndarray, labels: np.ndarray
) -> None:
    """Write files in the published format, and make them the published ones."""
    folder.mkdir()
    np.save(folder / "fog.npy", fog)
    np.save(folder / "labels.npy", labels)
    sums = {path.name: checksum(path, "md5") for path in folder.iterdir()}
    record = dataclasses.replace(CIFAR100_C, files=sums)
    monkeypatch.setattr(corrupted, "OFFICIAL_CORRUPTIONS", {"cifar100": record})


def test_official_files_of_cifar100_are_used(
    hundred: ImageDataset, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fog = np.random.default_rng(2).integers(0, 256, (500, 9, 8, 3), np.uint8)
    labels = np.tile(np.arange(100), 5).astype(np.uint8)
    publish_cifar100_c(tmp_path / "CIFAR-100-C", monkeypatch, fog, labels)
    found = corrupted_test_set(hundred, ["fog"], (3,), cache_dir=cache, data_dir=tmp_path)
    assert found.source == "official"
    assert np.array_equal(found.images("fog", 3), fog[200:300])
    assert np.array_equal(found.labels, np.arange(100))


@pytest.mark.parametrize(
    ("shape", "dtype", "labels", "message"),
    [
        (
            (400, 9, 8, 3),
            np.uint8,
            np.tile(np.arange(100), 5),
            r"fog\.npy has uint8 of shape \(400",
        ),
        ((500, 9, 8), np.uint8, np.tile(np.arange(100), 5), r"not uint8 of shape \(500, 9, 8, 3\)"),
        ((500, 9, 8, 3), np.int64, np.tile(np.arange(100), 5), r"fog\.npy has int64"),
        ((500, 9, 8, 3), np.uint8, np.tile(np.arange(100), 4), "are not those of the 100 test"),
        ((500, 9, 8, 3), np.uint8, np.tile(np.arange(100) + 1, 5), "are not those of the 100"),
    ],
)
def test_official_files_that_do_not_fit_are_refused(
    shape: tuple[int, ...],
    dtype: type,
    labels: np.ndarray,
    message: str,
    hundred: ImageDataset,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fog = np.zeros(shape, dtype)
    publish_cifar100_c(tmp_path / "CIFAR-100-C", monkeypatch, fog, labels.astype(np.uint8))
    with pytest.raises(DamagedDataError, match=message):
        corrupted_test_set(hundred, ["fog"], [1], cache_dir=cache, data_dir=tmp_path)


def test_official_files_are_used_as_they_lie(
    cifar: ImageDataset, tmp_path: Path, cache: Path
) -> None:
    found = corrupted_test_set(cifar, NAMES, (5, 1), cache_dir=cache, data_dir=tmp_path)
    assert found.source == "official"
    fog = np.load(tmp_path / CIFAR10_C.folder / "fog.npy")
    assert np.array_equal(found.images("fog", 5), fog[160:])
    assert np.array_equal(found.images("fog", 1), fog[:40])
    assert not cache.exists()


def test_official_subset_matches_its_labels(
    cifar: ImageDataset, tmp_path: Path, cache: Path
) -> None:
    found = corrupted_test_set(cifar, NAMES, (2,), images=8, cache_dir=cache, data_dir=tmp_path)
    whole = corrupted_test_set(cifar, NAMES, (2,), cache_dir=cache, data_dir=tmp_path)
    assert found.source == "official"
    assert np.bincount(found.labels).tolist() == [2, 2, 2, 2]
    pairs = zip(whole.images("fog", 2), whole.labels, strict=True)
    known = {image.tobytes(): label for image, label in pairs}
    for image, label in zip(found.images("fog", 2), found.labels, strict=True):
        assert known[image.tobytes()] == label


def test_source_generated_leaves_official_files_alone(
    cifar: ImageDataset, tmp_path: Path, cache: Path
) -> None:
    found = corrupted_test_set(
        cifar, ["fog"], [1], cache_dir=cache, data_dir=tmp_path, source="generated"
    )
    assert found.source == "generated"
    assert np.array_equal(found.images("fog", 1), corrupt(cifar.test_images, "fog", 1, seed=0))


def test_official_file_that_is_damaged_missing_or_unfit_is_never_used(
    cifar: ImageDataset, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / CIFAR10_C.folder
    with pytest.raises(MissingDataError, match=r"ood\.source: .*snow\.npy is not there; run"):
        corrupted_test_set(cifar, ["snow"], [1], cache_dir=cache, data_dir=tmp_path)
    with pytest.raises(MissingDataError, match=r"CIFAR-10-C is not there; .*put CIFAR-10-C\.tar"):
        corrupted_test_set(cifar, ["fog"], [1], cache_dir=cache, data_dir=cache, source="official")
    other = dataclasses.replace(cifar, test_labels=cifar.test_labels[::-1])
    with pytest.raises(DamagedDataError, match=r"labels in .* are not those of the 40 test images"):
        corrupted_test_set(other, ["fog"], [1], cache_dir=cache, data_dir=tmp_path)
    content = (folder / "fog.npy").read_bytes()
    (folder / "fog.npy").unlink()
    (folder / "fog.npy").write_bytes(content[:-1])
    with pytest.raises(DamagedDataError, match=r"fog\.npy has the MD5 .*; delete it and run"):
        corrupted_test_set(cifar, ["fog"], [1], cache_dir=cache, data_dir=tmp_path)
    assert not list(cache.glob("*/*.npy"))


@pytest.mark.parametrize("kept_bytes", [0, 20, 500])
def test_cells_that_were_cut_short_are_made_again(
    kept_bytes: int, digits: ImageDataset, cache: Path
) -> None:
    cells = (["contrast", "brightness"], [1])
    before = corrupted_test_set(digits, *cells, images=20, cache_dir=cache)
    whole = before.images("contrast", 1).copy()
    (damaged,) = cache.glob("*/contrast-1.npy")
    (kept,) = cache.glob("*/brightness-1.npy")
    content, inode = damaged.read_bytes(), kept.stat().st_ino
    damaged.unlink()
    damaged.write_bytes(content[:kept_bytes])
    again = corrupted_test_set(digits, *cells, images=20, cache_dir=cache)
    assert np.array_equal(again.images("contrast", 1), whole)
    assert kept.stat().st_ino == inode
