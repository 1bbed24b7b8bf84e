from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.datasets import ImageDataset, InvalidRequestError, split, stratified_subset
from workers.datasets.splits import hold_out, stratified_indices


@pytest.mark.slow
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 9),
)
@settings(deadline=None)
def test_stratified_indices_keep_each_class_within_one_image_of_its_share(
    labels: list[int], share: float, seed: int
) -> None:
    size = max(1, round(share * len(labels)))
    chosen = stratified_indices(np.array(labels), size, seed=seed, key="k")
    assert len(chosen) == size == len(set(chosen.tolist()))
    assert (np.diff(chosen) > 0).all()
    for label in set(labels):
        exact = size * labels.count(label) / len(labels)
        assert abs(int((np.array(labels)[chosen] == label).sum()) - exact) < 1


def test_split_on_test_set_validates_there_and_copies_nothing(tiny: ImageDataset) -> None:
    parts = split(tiny, "test", seed=3)
    assert parts.train.images is tiny.train_images
    assert parts.validation.images is tiny.test_images
    assert parts.test.images is tiny.test_images


def test_split_of_training_set_is_disjoint_whole_and_balanced(digits: ImageDataset) -> None:
    parts = split(digits, "split", 0.2, seed=1)
    assert (len(parts.train), len(parts.validation)) == (1038, 259)
    counts = np.bincount(parts.validation.labels)
    assert counts.max() - counts.min() <= 1
    together = np.concatenate([parts.train.images, parts.validation.images])
    order = np.lexsort(together.reshape(len(together), -1).T)
    expected = digits.train_images
    expected_order = np.lexsort(expected.reshape(len(expected), -1).T)
    assert np.array_equal(together[order], expected[expected_order])


def test_split_depends_on_its_seed_and_validation_not_on_train_size(digits: ImageDataset) -> None:
    first = split(digits, "split", 0.2, seed=1)
    again = split(digits, "split", 0.2, seed=1, train_size=100)
    other = split(digits, "split", 0.2, seed=2)
    assert np.array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert np.array_equal(np.bincount(again.train.labels), [10] * 10)


def test_split_with_sizes_takes_balanced_parts_that_match_their_labels(
    digits: ImageDataset, cache: Path
) -> None:
    parts = split(digits, seed=0, train_size=200, test_size=50, cache_dir=cache)
    plain = split(digits, seed=0, train_size=200, test_size=50)
    assert np.array_equal(np.bincount(parts.train.labels), [20] * 10)
    assert np.array_equal(np.bincount(parts.test.labels), [5] * 10)
    for shared, copied in ((parts.train, plain.train), (parts.test, plain.test)):
        assert isinstance(shared.images.base, np.memmap)
        assert np.array_equal(shared.images, copied.images)
        assert np.array_equal(shared.labels, copied.labels)
    known = {image.tobytes(): label for image, label in zip(*_train(digits), strict=True)}
    for image, label in zip(parts.train.images, parts.train.labels, strict=True):
        assert known[image.tobytes()] == label


def _train(dataset: ImageDataset) -> tuple[object, object]:
    return dataset.train_images, dataset.train_labels


def test_stratified_subset_is_fixed_balanced_and_at_most_everything(digits: ImageDataset) -> None:
    subset = stratified_subset(digits.test, 100, seed=4)
    assert np.array_equal(np.bincount(subset.labels), [10] * 10)
    again = stratified_subset(digits.test, 100, seed=4)
    assert np.array_equal(subset.images, again.images)
    assert len(stratified_subset(digits.test, 9999, seed=4)) == 500


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"train_size": 61}, "dataset.train_size"),
        ({"train_size": 0}, "dataset.train_size"),
        ({"train_size": 49, "validation": "split"}, "dataset.train_size"),
        ({"test_size": 41}, "dataset.test_size"),
        ({"fraction": 0.001, "validation": "split"}, "dataset.validation_fraction"),
        ({"fraction": 0.999, "validation": "split"}, "dataset.validation_fraction"),
    ],
)
def test_split_of_too_few_images_names_the_setting(
    settings: dict[str, object], key: str, tiny: ImageDataset
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        split(tiny, **settings)  # type: ignore[arg-type]
    assert error.value.key == key
    assert str(error.value).startswith(f"{key}: ")


def test_hold_out_parts_are_disjoint_and_whole() -> None:
    stay, out = hold_out(np.arange(50) % 5, 15, seed=0, key="k")
    assert np.array_equal(np.sort(np.concatenate([stay, out])), np.arange(50))
    assert len(out) == 15


def test_split_with_a_damaged_cache_makes_it_again(tiny: ImageDataset, cache: Path) -> None:
    whole = split(tiny, train_size=20, cache_dir=cache).train.images.copy()
    (file,) = cache.glob("subset-*/images.npy")
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-9])
    assert np.array_equal(split(tiny, train_size=20, cache_dir=cache).train.images, whole)
