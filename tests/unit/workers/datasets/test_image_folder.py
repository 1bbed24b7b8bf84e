from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workers.datasets import (
    DamagedDataError,
    DatasetError,
    ImageDataset,
    MissingDataError,
    load_dataset,
)

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


def write_noise(
    root: Path, classes: tuple[str, ...] = ("cat", "dog"), images_each: int = 4
) -> None:
    """Write images that all differ, as PNG files 0.png, 1.png and so on."""
    generator = np.random.default_rng(len(str(root)))
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(images_each):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of four images that all differ; nothing about them is worth a note."""
    write_noise(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The same with train/ and test/."""
    write_noise(tmp_path / "photos" / "train")
    write_noise(tmp_path / "photos" / "test", images_each=2)
    return tmp_path / "photos"


def size_of(dataset: ImageDataset) -> int:
    return len(dataset.train) + len(dataset.test)


@pytest.mark.parametrize("save", ["I;16 png", "I;16 tif", "alpha"])
def test_pictures_of_other_modes_are_not_plain_white_or_black(save: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            grey = generator.integers(0, 256, (32, 32), np.uint8)
            image = Image.fromarray(grey.astype(np.uint16) * 257)
            if save == "alpha":
                image = Image.new("RGBA", (32, 32))
                image.putalpha(Image.fromarray(grey))
            suffix = "tif" if save.endswith("tif") else "png"
            image.save(tmp_path / "photos" / name / f"{number}.{suffix}")
    dataset = load(tmp_path / "photos", channels=1)
    assert dataset.train_images.std() > 60
    expected = "laid over white" if save == "alpha" else "have more than 8 bits: scaled to 8"
    assert dataset.notes == (
        f"10 of 10 images {'are transparent: ' * (save == 'alpha')}{expected}",
    )


def test_dark_sixteen_bit_images_are_noted_with_the_option_that_helps(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            values = generator.integers(0, 4096, (32, 32), np.uint16)
            Image.fromarray(values).save(tmp_path / "photos" / name / f"{number}.png")
    dark = load(tmp_path / "photos")
    assert dark.train_images.max() <= 16
    assert re.search(r"only 6\.\d% of white, which dataset\.kwargs\.value_range", dark.notes[0])
    bright = load(tmp_path / "photos", value_range=[0, 4095])
    assert bright.train_images.max() > 250
    assert bright.notes == ("6 of 6 images have more than 8 bits: scaled to 8",)


def test_float_images_are_refused_by_name_and_mode(photos: Path) -> None:
    Image.fromarray(np.random.default_rng(0).random((32, 32), np.float32)).save(
        photos / "cat" / "x.tif"
    )
    message = r"path: .*photos/cat/x\.tif has the mode F .*; set dataset\.kwargs\.value_range"
    with pytest.raises(DamagedDataError, match=message):
        load(photos)


def test_training_images_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (32, 32), "white").save(tmp_path / "photos" / name / f"{number}.png")
    with pytest.raises(DamagedDataError, match=r"all 6 training images of .*photos have the same"):
        load(tmp_path / "photos")


def test_plain_images_and_leaked_images_are_noted(parts: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(parts / "train" / "cat" / "red.png")
    (parts / "test" / "cat" / "leaked.bmp").write_bytes(b"")
    with Image.open(parts / "train" / "cat" / "0.png") as image:
        image.save(parts / "test" / "cat" / "leaked.bmp")
        image.save(parts / "train" / "dog" / "again.png")
    assert load(parts).notes == (
        "1 of 10 training images holds a single colour",
        "1 of 10 training images repeats another one",
        "2 of 10 training images occur under more than one class",
        "1 of 5 test images is identical to a training image",
    )


def test_good_folder_has_no_notes(parts: Path) -> None:
    assert load(parts).notes == ()


def test_hidden_files_and_folders_are_left_out_and_counted(photos: Path) -> None:
    plain = load(photos)
    (photos / ".thumbnails").mkdir()
    (photos / "cat" / ".ipynb_checkpoints").mkdir()
    for name in (".thumbnails/x.png", "cat/.ipynb_checkpoints/0-checkpoint.png"):
        Image.new("RGB", (9, 9)).save(photos / name)
    (photos / "dog" / "._0.png").write_bytes(b"Mac OS X resource fork")
    (photos / "dog" / ".#0.png").symlink_to("user@host.1234")  # an editor's lock
    found = load(photos)
    assert found.fingerprint == plain.fingerprint
    assert found.notes == ("left out: 4 hidden files and folders",)


def test_other_files_are_left_out_and_counted(photos: Path) -> None:
    plain = load(photos)
    for name in ("cat/a.txt", "cat/b.TXT", "cat/c", "cat/d.npy", "dog/.e", "labels.csv"):
        (photos / name).write_text("no image")
    (photos / "cat" / "gone.txt").symlink_to("nowhere.txt")
    found = load(photos)
    assert found.fingerprint == plain.fingerprint
    assert found.notes == (
        "left out: 1 file beside the class folders; 1 hidden file or folder; "
        "5 files that are no images (3 .txt, 1 no suffix, 1 .npy)",
    )


@pytest.mark.parametrize("name", ["x.JFIF", "x.jpe", "x.PnG", "x.Tiff", "x.avif", "x.jp2"])
def test_every_suffix_that_pillow_decodes_counts(name: str, photos: Path) -> None:
    before = size_of(load(photos))
    kind = {"jfif": "JPEG", "jpe": "JPEG"}.get(name[2:].lower())
    Image.new("RGB", (32, 32), "blue").save(photos / "cat" / name, kind)
    assert size_of(load(photos)) == before + 1


def test_folder_named_like_an_image_is_searched(photos: Path) -> None:
    before = size_of(load(photos))
    (photos / "cat" / "folder.png").mkdir()
    Image.new("RGB", (32, 32), "blue").save(photos / "cat" / "folder.png" / "x.png")
    assert size_of(load(photos)) == before + 1


def test_pipes_and_sockets_are_left_out_and_counted(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(photos / "cat" / "pipe.png")
    monkeypatch.chdir(photos / "cat")  # the name of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.png")
        assert load(photos).notes == ("left out: 2 pipes, sockets or devices",)


def test_links_are_followed_once(photos: Path) -> None:
    before = size_of(load(photos))
    (photos.parent / "more").mkdir()
    Image.new("RGB", (32, 32), "blue").save(photos.parent / "more" / "x.png")
    (photos / "cat" / "more").symlink_to(photos.parent / "more")
    (photos / "cat" / "back").symlink_to(photos / "cat")
    found = load(photos)
    assert size_of(found) == before + 1
    assert "left out: 1 link that leads back to a folder above it" in found.notes


def broken_link(root: Path) -> None:
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")


def looping_link(root: Path) -> None:
    (root / "cat" / "loop.png").symlink_to(root / "cat" / "loop.png")


def broken_class(root: Path) -> None:
    (root / "bird").symlink_to(root / "nowhere")


def empty_class(root: Path) -> None:
    (root / "bird").mkdir()


def class_of_bytes(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/b\xffrd")).mkdir()


def class_in_two_forms(root: Path) -> None:
    (root / "caf\u00e9").mkdir()
    (root / "cafe\u0301").mkdir()


def cut_short(root: Path) -> None:
    content = (root / "cat" / "1.png").read_bytes()
    (root / "cat" / "1.png").write_bytes(content[:-600])


def odd_name(root: Path) -> None:
    (root / "cat" / "a\nsasam: b.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken_link, "photos/cat/gone.png is a link that leads nowhere; mend or remove it"),
        (looping_link, "photos/cat/loop.png is a link that leads nowhere"),
        (broken_class, "photos/bird is a link that leads nowhere"),
        (empty_class, "photos/bird holds no image"),
        (class_of_bytes, r"photos/b\udcffrd is not a UTF-8 name; rename it"),
        (class_in_two_forms, "photos holds two folders named caf"),
        (cut_short, "photos/cat/1.png cannot be decoded: image file is truncated"),
        (odd_name, r"photos/cat/a\nsasam: b.png is an empty file"),
    ],
)
def test_fault_of_a_folder_is_named_by_the_path_that_the_user_wrote(
    spoil: Callable[[Path], None], message: str, photos: Path
) -> None:
    spoil(photos)
    with pytest.raises(DatasetError) as error:
        load_dataset("image-folder", options={"path": "photos"}, data_dir=photos.parent)
    assert str(error.value).startswith(f"dataset.kwargs.path: {message}")
    assert str(photos.parent) not in str(error.value)


@contextmanager
def without_rights(path: Path) -> Iterator[None]:
    """Take all rights to a file or folder away; root, who needs none, becomes nobody."""
    before = os.geteuid()
    mode = path.stat().st_mode
    for folder in (*path.parents,):
        if folder.stat().st_uid == before and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    path.chmod(0)
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
        path.chmod(mode)


@pytest.mark.parametrize("name", ["", "cat", "cat/1.png"])
def test_what_cannot_be_read_for_lack_of_rights_is_named(name: str, photos: Path) -> None:
    data_dir = photos.parent
    (data_dir / "cache").mkdir(mode=0o777)
    (data_dir / "cache").chmod(0o777)
    with without_rights(photos / name), pytest.raises(DatasetError) as error:
        load_dataset("image-folder", options={"path": "photos"}, data_dir=data_dir)
    shown = f"photos/{name}".rstrip("/")
    assert re.match(rf"dataset\.kwargs\.path: {shown}.*: Permission denied", str(error.value))


def test_path_that_is_too_long_for_the_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="File name too long"):
        load_dataset("image-folder", options={"path": "a" * 5000}, data_dir=tmp_path)


def test_names_of_files_may_be_any_bytes(photos: Path) -> None:
    before = size_of(load(photos))
    target = os.fsencode(photos / "cat") + b"/\xff\xfe.png"
    (photos / "cat" / "0.png").rename(os.fsdecode(target))
    assert size_of(load(photos)) == before


def test_classes_that_differ_in_case_alone_are_noted(photos: Path) -> None:
    write_noise(photos.parent / "other", ("Cat", "bird"))
    (photos.parent / "other" / "Cat").rename(photos / "Cat")
    found = load(photos)
    assert found.classes == ("Cat", "cat", "dog")
    assert "Cat and cat are different classes, though only their case differs" in found.notes


def test_class_in_another_unicode_form_is_the_same_class(tmp_path: Path) -> None:
    write_noise(tmp_path / "photos" / "train", ("caf\u00e9", "dog"))
    write_noise(tmp_path / "photos" / "test", ("cafe\u0301", "dog"))
    dataset = load(tmp_path / "photos")
    assert dataset.classes == ("caf\u00e9", "dog")
    assert np.bincount(dataset.test_labels).tolist() == [4, 4]


@pytest.mark.parametrize("name", ["bird", "Cat"])
def test_class_of_the_test_part_that_training_lacks_is_refused(name: str, parts: Path) -> None:
    write_noise(parts / "more", (name,))
    (parts / "more" / name).rename(parts / "test" / name)
    with pytest.raises(DatasetError, match=rf"photos/test/{name} is a class that train/ does not"):
        load(parts)


def test_further_parts_are_noted_as_unused(parts: Path) -> None:
    write_noise(parts / "val")
    (parts / "README.md").write_text("photos")
    assert load(parts).notes == (
        "val/ is not used, only train/ and test/ are",
        "left out: 1 file beside the class folders",
    )


def test_parts_in_capitals_are_not_taken_for_classes(tmp_path: Path) -> None:
    write_noise(tmp_path / "photos" / "Train")
    write_noise(tmp_path / "photos" / "Test")
    with pytest.raises(DatasetError, match="photos holds Test, Train; name these folders train"):
        load(tmp_path / "photos")


def test_single_class_is_refused(tmp_path: Path) -> None:
    write_noise(tmp_path / "photos", ("cat",))
    with pytest.raises(DatasetError, match="photos holds 1 class folders; give 2 or more"):
        load(tmp_path / "photos")


@pytest.mark.parametrize(
    "given", [5, "0-255", [0], [0, 1, 2], [1, 1], [2, 1], [0, float("nan")], [0, "1"], [False, 1]]
)
def test_invalid_value_range_is_refused(given: Any, photos: Path) -> None:
    with pytest.raises(DatasetError, match=r"value_range: .*give two numbers \[black, white\]"):
        load(photos, value_range=given)


def test_cache_of_the_former_decoding_is_not_used(photos: Path) -> None:
    """Its key was the files' states and the options, without the version of the decoding."""
    load(photos)
    (entry,) = (photos.parent / "cache").glob("image-folder-*")
    paths = [str(p) for name in ("cat", "dog") for p in sorted((photos / name).iterdir())]
    states = [(p, os.stat(p).st_size, os.stat(p).st_mtime_ns) for p in paths]  # noqa: PTH116
    former = repr((states, 32, 3, 0.2, 0, ("cat", "dog")))
    assert hashlib.sha256(former.encode()).hexdigest()[:16] not in entry.name
