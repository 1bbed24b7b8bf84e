from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from workers.datasets import ImageSet
from workers.spec import DatasetSpec, OodSpec
from workers.trial_data import DeviceData, DeviceImages, Normalisation, load_trial_data

CPU = torch.device("cpu")


def images(n, side=4, channels=3):
    """Images that hold their own number in every value."""
    values = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, side, side, 3))
    return ImageSet(np.ascontiguousarray(values[..., :channels]), np.arange(n, dtype=np.int64))


def identity(*, channels_last=True):
    return Normalisation([0.0] * 3, [1 / 255] * 3, CPU, channels_last=channels_last)


def epoch(source, *, seed=0, number=1, batch_size=8, augmentation="none"):
    return list(
        DeviceImages([source], CPU).epoch(
            identity(), batch_size=batch_size, augmentation=augmentation, seed=seed, epoch=number
        )
    )


def labels(batches):
    return torch.cat([labels for _, labels in batches]).tolist()


def test_epoch_yields_every_image_once_with_its_label():
    batches = epoch(images(43))
    assert [len(x) for x, _ in batches] == [8] * 5
    assert len(set(labels(batches))) == 40
    for x, y in batches:
        assert torch.equal(x, y[:, None, None, None].float().expand_as(x))


def test_epoch_order_follows_seed_and_epoch_alone():
    assert labels(epoch(images(40))) == labels(epoch(images(40)))
    assert labels(epoch(images(40))) != labels(epoch(images(40), number=2))
    assert labels(epoch(images(40))) != labels(epoch(images(40), seed=1))


def test_epoch_leaves_other_images_out_each_time():
    left_out = [set(range(43)) - set(labels(epoch(images(43), number=k))) for k in range(1, 6)]
    assert len({frozenset(images) for images in left_out}) > 1


def test_epoch_augmented_repeats_bit_for_bit():
    first, second = (epoch(images(40, side=8), augmentation="randaugment") for _ in range(2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("channels_last", [True, False])
def test_normalisation_gives_zero_mean_and_unit_deviation(channels_last):
    data = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), dtype=np.uint8)
    flat = data.reshape(-1, 3) / 255
    normalise = Normalisation(flat.mean(0), flat.std(0), CPU, channels_last=channels_last)
    result = normalise(torch.from_numpy(data))
    assert result.shape == (50, 3, 6, 6)
    expected = torch.channels_last if channels_last else torch.contiguous_format
    assert result.is_contiguous(memory_format=expected)
    assert result.double().mean((0, 2, 3)) == pytest.approx(np.zeros(3), abs=1e-6)
    assert result.double().std((0, 2, 3), correction=0) == pytest.approx(np.ones(3), abs=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


def load(folder, dataset, ood=None):
    return load_trial_data(dataset, ood, data_dir=folder, cache_dir=folder / "cache")


def test_load_data_honours_sizes_and_split(folder):
    data = load(
        folder,
        DatasetSpec(name="digits", validation="split", train_size=100, test_size=60),
        OodSpec(corruptions=("fog", "contrast"), severities=(1, 5)),
    )
    assert len(data.train) == 100
    assert len(data.validation) == round(0.2 * 1297)
    assert data.ood is not None
    assert len(data.ood.labels) == 60
    assert data.inputs.network_arguments == {"num_classes": 10, "in_channels": 1, "image_size": 8}


def test_device_data_ood_holds_all_cells_in_order(folder):
    spec = OodSpec(corruptions=("fog", "contrast", "snow"), severities=(1, 5), images=500)
    data = load(folder, DatasetSpec(name="digits"), spec)
    device_data = DeviceData(data, CPU)
    assert [len(images) for images in device_data.ood] == [2_000, 1_000]
    normalise = Normalisation([0.0], [1 / 255], CPU, channels_last=False)
    found = torch.cat(
        [x for part in device_data.ood for x, _ in part.in_order(normalise, batch_size=700)]
    )
    expected = np.concatenate([images for _, images in data.ood])
    assert torch.equal(found.permute(0, 2, 3, 1).to(torch.uint8), torch.from_numpy(expected))
