"""Mean absolute error on real CIFAR-10 images against the original program's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from workers.corruptions import CORRUPTIONS, corrupt
from workers.corruptions.pixels import Images

ORACLE = json.loads((Path(__file__).parents[3] / "data" / "cifar10c_mae.json").read_text())
DETERMINISTIC = {
    "gaussian_blur",
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "saturate",
    "jpeg_compression",
    "pixelate",
}


@pytest.fixture(scope="module")
def images() -> Images:
    path = os.environ.get("SASAM_TEST_CIFAR")
    if path is None:
        pytest.skip("SASAM_TEST_CIFAR names no .npz with CIFAR-10's first test images (test_x)")
    loaded: Images = np.load(path)["test_x"][:300]
    return loaded


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_as_strong_as_the_original(name: str, images: Images) -> None:
    errors = [
        np.abs(corrupt(images, name, severity, seed=0).astype(int) - images).mean()
        for severity in range(1, 6)
    ]
    tolerance = 0.03 if name in DETERMINISTIC else 0.06
    assert errors == pytest.approx(ORACLE[name], rel=tolerance)
