from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def pictures() -> Images:
    """24 colour images of 32 x 32: smooth shapes in many colours, with edges and flat areas."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] / 31
    images = np.empty((24, 32, 32, 3))
    for image in images:
        waves = generator.uniform(-4, 4, (3, 3))
        for channel in range(3):
            a, b, phase = waves[channel]
            image[..., channel] = 0.5 + 0.35 * np.sin(a * x * 3 + b * y * 3 + phase)
        top, left = generator.integers(2, 18, 2)
        image[top : top + 12, left : left + 12] = generator.uniform(0, 1, 3)
    return np.rint(images * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def digit_pictures() -> Images:
    """100 real hand-written digits of 8 x 8."""
    from sklearn.datasets import load_digits

    return np.rint(load_digits().images[:100, ..., None] * (255 / 16)).astype(np.uint8)
