from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workers.datasets import DamagedDataError, DatasetError, ImageDataset, load_dataset

COLOURS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


def write_classes(root: Path, images_each: int = 5) -> None:
    """Write one-coloured images of several sizes and formats, a black frame at their long ends."""
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(images_each):
            pixels = np.zeros((40 + number, 60, 3), np.uint8)
            pixels[:, 10:-10] = colour  # what the central square keeps
            suffix = "png" if number % 2 else "bmp"
            Image.fromarray(pixels).save(root / name / f"{number}.{suffix}")
        (root / name / "notes.txt").write_text("not an image")


def load(root: Path, **options: Any) -> ImageDataset:
    return load_dataset(
        "image-folder", options={"path": str(root), **options}, data_dir=root.parent
    )


def test_folder_of_classes_is_split_in_balance_and_labelled_by_name(tmp_path: Path) -> None:
    write_classes(tmp_path / "photos")
    dataset = load(tmp_path / "photos", image_size=16, test_fraction=0.4)
    assert dataset.classes == ("blue", "green", "red")
    assert np.bincount(dataset.train_labels).tolist() == [3, 3, 3]
    assert np.bincount(dataset.test_labels).tolist() == [2, 2, 2]
    for image, label in zip(dataset.train_images, dataset.train_labels, strict=True):
        assert image.shape == (16, 16, 3)
        assert image[8, 8].tolist() == list(COLOURS[dataset.classes[label]])
        assert image[8, 2].tolist() == image[8, 8].tolist()  # the frame was cut off


@pytest.mark.parametrize("part", ["test", "val"])
def test_folder_with_parts_keeps_them(part: str, tmp_path: Path) -> None:
    write_classes(tmp_path / "photos" / "train", 4)
    write_classes(tmp_path / "photos" / part, 2)
    dataset = load(tmp_path / "photos", channels=1)
    assert dataset.train_images.shape == (12, 32, 32, 1)
    assert dataset.test_images.shape == (6, 32, 32, 1)


def test_relative_path_starts_at_the_data_folder(tmp_path: Path) -> None:
    write_classes(tmp_path / "photos")
    dataset = load_dataset("image-folder", options={"path": "photos"}, data_dir=tmp_path)
    assert len(dataset.train) == 12


def test_new_image_makes_another_data_set(tmp_path: Path) -> None:
    write_classes(tmp_path / "photos")
    first = load(tmp_path / "photos")
    assert load(tmp_path / "photos").fingerprint == first.fingerprint
    Image.new("RGB", (50, 50), (9, 9, 9)).save(tmp_path / "photos" / "red" / "new.png")
    assert len(load(tmp_path / "photos").train) + len(first.test) > len(first.train)
    assert load(tmp_path / "photos").fingerprint != first.fingerprint


def test_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path / "photos")
    (tmp_path / "photos" / "red" / "broken.png").write_bytes(b"not a png")
    with pytest.raises(DamagedDataError, match=r"dataset\.kwargs\.path: .*broken\.png cannot be"):
        load(tmp_path / "photos")


def test_class_missing_from_the_test_part_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path / "photos" / "train")
    (tmp_path / "photos" / "test" / "red").mkdir(parents=True)
    with pytest.raises(DatasetError, match="blue holds no image"):
        load(tmp_path / "photos")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "nowhere"}, r"dataset\.kwargs\.path: .*nowhere is no folder"),
        ({"path": None}, r"dataset\.kwargs\.path: image-folder has no folder to read; name one"),
        ({"path": "empty"}, "holds 0 class folders; give 2 or more"),
        ({"image_size": 4}, r"dataset\.kwargs\.image_size: 4; give a whole number from 8 to 1024"),
        ({"image_size": "32"}, r"dataset\.kwargs\.image_size: '32'"),
        ({"channels": 2}, r"dataset\.kwargs\.channels: 2 channels; give 1 or 3"),
        ({"test_fraction": 1.5}, r"dataset\.kwargs\.test_fraction: 1\.5"),
        ({"test_fraction": 0.001}, r"dataset\.kwargs\.test_fraction: 0 of 15 images"),
        ({"colour": True}, r"dataset\.kwargs\.colour: image-folder has no such option"),
    ],
)
def test_bad_option_is_named_with_what_is_allowed(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_classes(tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=message):
        load_dataset("image-folder", options={"path": "photos", **options}, data_dir=tmp_path)


@pytest.mark.parametrize(
    "path", ["{}/other", "../other", "photos/../../other", "/etc", "/", "..", "{}/data2"]
)
def test_folder_elsewhere_is_refused_before_it_is_looked_at(path: str, tmp_path: Path) -> None:
    write_classes(tmp_path / "other")
    write_classes(tmp_path / "data2")
    options = {"path": path.format(tmp_path)}
    with pytest.raises(DatasetError, match=r"is not below .*SASAM_DATA_ROOTS"):
        load_dataset("image-folder", options=options, data_dir=tmp_path / "data")


def test_folder_that_the_operator_lists_or_links_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_classes(tmp_path / "other")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "other")
    linked = load_dataset("image-folder", options={"path": "linked"}, data_dir=tmp_path / "data")
    monkeypatch.setenv("SASAM_DATA_ROOTS", f"/nowhere:{tmp_path}")
    options = {"path": f"{tmp_path}/other"}
    listed = load_dataset("image-folder", options=options, data_dir=tmp_path / "data")
    assert len(linked.train) == len(listed.train)
