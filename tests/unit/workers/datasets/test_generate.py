from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.corruptions import corrupt
from workers.datasets import ImageDataset, InvalidRequestError, corrupt_dataset, generate

NAMES = ("fog", "contrast", "snow")


def test_files_have_the_official_layout(tiny: ImageDataset, tmp_path: Path) -> None:
    folder = corrupt_dataset(tiny, tmp_path / "tiny-c", corruptions=NAMES, seed=2)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["contrast.npy", "corruptions.json", "fog.npy", "labels.npy", "snow.npy"]
    snow = np.load(folder / "snow.npy")
    assert (snow.dtype, snow.shape) == (np.uint8, (200, 9, 8, 3))
    assert np.array_equal(snow[80:120], corrupt(tiny.test_images, "snow", 3, seed=2))
    labels = np.load(folder / "labels.npy")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.tile(tiny.test_labels, 5))


def test_interrupted_work_resumes_with_the_same_result(
    tiny: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = corrupt_dataset(tiny, tmp_path / "whole", corruptions=NAMES)
    made: list[tuple[str, int]] = []

    def interrupted(images: Any, name: str, severity: int, **settings: Any) -> Any:
        if len(made) == 7:
            raise KeyboardInterrupt
        made.append((name, severity))
        return corrupt(images, name, severity, **settings)

    monkeypatch.setattr(generate, "corrupt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        corrupt_dataset(tiny, tmp_path / "cut", corruptions=NAMES, workers=1)
    assert {"fog.npy", ".unfinished"} <= {path.name for path in (tmp_path / "cut").iterdir()}

    before = list(made)
    made.clear()
    made_after = made

    def counted(images: Any, name: str, severity: int, **settings: Any) -> Any:
        made_after.append((name, severity))
        return corrupt(images, name, severity, **settings)

    monkeypatch.setattr(generate, "corrupt", counted)
    reports: list[tuple[int, int]] = []
    corrupt_dataset(
        tiny,
        tmp_path / "cut",
        corruptions=NAMES,
        progress=lambda done, total: reports.append((done, total)),
    )
    assert len(made_after) == 15 - 7
    assert not set(before) & set(made_after)
    assert reports[-1] == (8 * 40, 8 * 40)
    for name in (*NAMES, "labels"):
        content = (tmp_path / "cut" / f"{name}.npy").read_bytes()
        assert content == (expected / f"{name}.npy").read_bytes()


def test_folder_of_other_seed_or_data_is_refused(
    tiny: ImageDataset, digits: ImageDataset, tmp_path: Path
) -> None:
    folder = corrupt_dataset(tiny, tmp_path / "c", corruptions=["contrast"], seed=0)
    with pytest.raises(InvalidRequestError, match=r"holds corruptions of .*'seed': 0"):
        corrupt_dataset(tiny, folder, corruptions=["contrast"], seed=1)
    with pytest.raises(InvalidRequestError, match="name another folder"):
        corrupt_dataset(digits, folder, corruptions=["contrast"], seed=0)
    (tmp_path / "official").mkdir()
    np.save(tmp_path / "official" / "fog.npy", np.zeros(3))
    with pytest.raises(InvalidRequestError, match="holds arrays that were not made here"):
        corrupt_dataset(tiny, tmp_path / "official", corruptions=["fog"])


def test_unknown_corruption_is_named_before_anything_is_written(
    tiny: ImageDataset, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequestError, match="'rain' does not exist"):
        corrupt_dataset(tiny, tmp_path / "c", corruptions=["fog", "rain"])
    assert not (tmp_path / "c").exists()


def test_damaged_manifest_is_refused(tiny: ImageDataset, tmp_path: Path) -> None:
    (tmp_path / "corruptions.json").write_text('{"dataset": "ti')
    with pytest.raises(InvalidRequestError, match=r"holds corruptions of an unreadable corrup"):
        corrupt_dataset(tiny, tmp_path, corruptions=NAMES)
