"""Images a second of an epoch here against a plain loop over torchvision and a DataLoader.

    python tests/benchmarks/bench_training.py [--cifar FILE.npz] [--repeats N] [--threads N]

Both sides train the same network on the same images with SGD, augmented alike. The plain loop is
what a tutorial writes: a Dataset that transforms one image at a time, a DataLoader in the training
process, one forward and one backward pass a batch. CIFAR images come from ``--cifar`` or the
environment variable ``SASAM_CIFAR_NPZ``: an archive with ``train_x``, uint8 (n, 32, 32, 3), and
``train_y``; without it random images of that shape are used, which cost the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from workers.datasets import ImageSet
from workers.example_inputs import ImageInputs
from workers.models import build_model
from workers.spec import ModelSpec, validate_spec
from workers.training import Trial
from workers.trial_data import DeviceData, TrialData

WORKLOADS = {
    "digits, cnn-tiny": ("digits", "cnn-tiny", 64, "none"),
    "digits, cnn-tiny, crop": ("digits", "cnn-tiny", 64, "crop"),
    "cifar, vgg11-slim, crop-flip": ("cifar", "vgg11-slim", 128, "crop-flip"),
    "cifar, vgg11-slim, randaugment": ("cifar", "vgg11-slim", 128, "randaugment"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar", type=Path, default=os.environ.get("SASAM_CIFAR_NPZ"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = {"digits": digits(), "cifar": cifar(arguments.cifar)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{device}, {arguments.threads} threads, median of {arguments.repeats} epochs, images/s")
    print(f"{'workload':34}{'plain':>10}{'here':>10}{'ratio':>8}")
    for title, (name, model, batch_size, augmentation) in WORKLOADS.items():
        contenders = (
            plain_epoch(images[name], model, batch_size, augmentation, device),
            own_epoch(images[name], model, batch_size, augmentation, device),
        )
        count = len(images[name]) // batch_size * batch_size
        # In turns, so that whatever else the machine does meets both.
        seconds: list[list[float]] = [[], []]
        for contender in contenders:
            contender()
        for _ in range(arguments.repeats):
            for times, contender in zip(seconds, contenders, strict=True):
                started = time.perf_counter()
                contender()
                times.append(time.perf_counter() - started)
        plain, here = (count / statistics.median(times) for times in seconds)
        print(f"{title:34}{plain:>10,.0f}{here:>10,.0f}{here / plain:>8.2f}")


def digits() -> ImageSet:
    """The training images of scikit-learn's digits."""
    data = load_digits()
    pixels = (data.images[:1297] * 255 / 16).astype(np.uint8)[..., None]
    return ImageSet(pixels, data.target[:1297].astype(np.int64))


def cifar(path: Path | None) -> ImageSet:
    """The first 4,000 training images, or random ones."""
    if path is None:
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (4_000, 32, 32, 3), dtype=np.uint8)
        return ImageSet(pixels, generator.integers(0, 10, 4_000))
    archive = np.load(path)
    return ImageSet(archive["train_x"][:4_000], archive["train_y"][:4_000].astype(np.int64))


def own_epoch(
    images: ImageSet, model: str, batch_size: int, augmentation: str, device: torch.device
) -> Callable[[], object]:
    """An epoch of a trial, without its validation."""
    spec = validate_spec(
        {
            "name": "bench",
            "dataset": "digits",
            "ood": None,
            "model": model,
            "optimizers": ["msgd"],
            "search": {"learning_rate": [0.01], "weight_decay": [1e-4]},
            "training": {"batch_size": batch_size, "augmentation": augmentation},
            "curvature": None,
        }
    )
    one = ImageSet(images.images[:1], images.labels[:1])
    channels = images.images.shape[-1]
    size = images.images.shape[1]
    inputs = ImageInputs(10, channels, size, (0.5,) * channels, (0.25,) * channels)
    data = TrialData(images, one, None, inputs)
    return Trial(spec.trials[0], DeviceData(data, device)).train_epoch


class Transformed(Dataset[tuple[torch.Tensor, int]]):
    """Images that are transformed one at a time."""

    def __init__(self, images: ImageSet, transform: v2.Transform) -> None:
        self.images = torch.from_numpy(images.images).permute(0, 3, 1, 2).contiguous()
        self.labels = images.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def plain_epoch(
    images: ImageSet, model: str, batch_size: int, augmentation: str, device: torch.device
) -> Callable[[], object]:
    """An epoch of a tutorial's loop."""
    size, channels = images.images.shape[1], images.images.shape[3]
    steps: list[nn.Module] = []
    if augmentation != "none":
        steps.append(v2.RandomCrop(size, padding=size // 8))
    if augmentation in ("crop-flip", "randaugment"):
        steps.append(v2.RandomHorizontalFlip())
    if augmentation == "randaugment":
        steps.append(v2.RandAugment())
    steps += [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * channels, [0.25] * channels),
    ]
    loader = DataLoader(
        Transformed(images, v2.Compose(steps)), batch_size, shuffle=True, drop_last=True
    )
    network = build_model(
        ModelSpec(name=model), num_classes=10, in_channels=channels, image_size=size
    ).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def epoch() -> float:
        network.train()
        total = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(inputs.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    return epoch


if __name__ == "__main__":
    main()
