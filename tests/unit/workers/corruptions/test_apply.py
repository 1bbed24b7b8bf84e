from __future__ import annotations

import numpy as np
import pytest

from workers.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from workers.corruptions.pixels import Images

RANDOM = {
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "glass_blur",
    "motion_blur",
    "snow",
    "frost",
    "fog",
    "spatter",
    "elastic_transform",
}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_changes_the_images_and_leaves_its_input_alone(
    name: str, severity: int, pictures: Images
) -> None:
    before = pictures.copy()
    corrupted = corrupt(pictures, name, severity, seed=0)
    assert corrupted.shape == pictures.shape
    assert corrupted.dtype == np.uint8
    assert np.array_equal(pictures, before)
    difference = np.abs(corrupted.astype(int) - pictures).mean()
    assert 0.1 < difference < 90


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_result_depends_on_seed_and_index_not_on_neighbours(
    name: str, pictures: Images
) -> None:
    together = corrupt(pictures, name, 3, seed=5)
    backwards = np.arange(len(pictures))[::-1]
    apart = corrupt(pictures[backwards], name, 3, seed=5, indices=backwards)
    assert np.array_equal(apart[::-1], together)
    other_seed = corrupt(pictures, name, 3, seed=6)
    assert np.array_equal(other_seed, together) == (name not in RANDOM)
    other_index = corrupt(pictures, name, 3, seed=5, indices=backwards)
    assert np.array_equal(other_index, together) == (name not in RANDOM)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_in_small_batches_gives_the_same(
    name: str, pictures: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = corrupt(pictures, name, 4, seed=1)
    monkeypatch.setattr("workers.corruptions.apply._BATCH_VALUES", 7 * pictures[0].size)
    batched = corrupt(pictures, name, 4, seed=1)
    # Sums over a batch may round differently; a value at a boundary then falls one level off.
    assert np.abs(batched.astype(int) - whole).max() <= 1
    assert (batched != whole).mean() < 1e-3


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_severity_5_is_stronger_than_1_on_digits(name: str, digit_pictures: Images) -> None:
    def distance(severity: int) -> float:
        corrupted = corrupt(digit_pictures, name, severity, seed=0)
        return float(np.abs(corrupted.astype(int) - digit_pictures).mean())

    assert distance(5) > distance(1)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_digits_stay_recognisable(name: str, severity: int, digit_pictures: Images) -> None:
    corrupted = corrupt(digit_pictures, name, severity, seed=0).reshape(100, -1).astype(float)
    clean = digit_pictures.reshape(100, -1).astype(float)
    # Each corrupted digit correlates with its own original; most do so better than with others.
    corrupted -= corrupted.mean(axis=1, keepdims=True)
    clean -= clean.mean(axis=1, keepdims=True)
    unit = np.linalg.norm(clean, axis=1)
    match = (corrupted @ clean.T) / unit
    assert (match.argmax(axis=1) == np.arange(100)).mean() > 0.4


@pytest.mark.parametrize("shape", [(64, 48, 3), (48, 100, 1), (8, 8, 3), (33, 9, 1)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_takes_any_size_and_one_or_three_channels(
    name: str, shape: tuple[int, int, int], pictures: Images
) -> None:
    tiled = np.tile(pictures[:3], (1, 4, 4, 1))[:, : shape[0], : shape[1], : shape[2]]
    corrupted = corrupt(tiled, name, 5, seed=0)
    assert corrupted.shape == (3, *shape)
    assert np.abs(corrupted.astype(int) - tiled).mean() > 0.1


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"saturate"} - RANDOM))
def test_corrupt_grey_equals_colour_with_equal_channels(name: str, pictures: Images) -> None:
    grey = pictures[..., :1]
    colour = corrupt(np.repeat(grey, 3, axis=-1), name, 3, seed=0)
    tolerance = 1 if name != "jpeg_compression" else 2  # JPEG rounds its colour conversion
    assert np.abs(corrupt(grey, name, 3, seed=0).astype(int) - colour).max() <= tolerance


def test_corrupt_no_images_gives_none(pictures: Images) -> None:
    assert corrupt(pictures[:0], "fog", 1, seed=0).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "rain"}, "corruption 'rain' does not exist; allowed: gaussian_noise, "),
        ({"severity": 0}, "severity 0 does not exist; allowed: 1, 2, 3, 4, 5"),
        ({"severity": 6}, "severity 6 does not exist"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"indices": [1, 2]}, "2 indices for 24 images"),
        ({"images": np.zeros((2, 32, 32), np.uint8)}, r"shape \(2, 32, 32\); allowed: uint8"),
        ({"images": np.zeros((2, 32, 32, 3), np.float32)}, "images are float32"),
        ({"images": np.zeros((2, 3, 32, 32), np.uint8)}, "images are uint8 of shape"),
        ({"images": np.zeros((2, 7, 32, 3), np.uint8)}, "7 x 32 pixels; allowed: 8 x 8"),
    ],
)
def test_corrupt_bad_input_names_what_is_allowed(
    changes: dict[str, object], message: str, pictures: Images
) -> None:
    arguments = {"images": pictures, "name": "fog", "severity": 1, "seed": 0, **changes}
    with pytest.raises(ValueError, match=message):
        corrupt(**arguments)  # type: ignore[arg-type]
