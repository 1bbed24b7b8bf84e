"""Corruptions against slow twins: the loops and library calls of the original program."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian as skimage_gaussian

from workers.corruptions import corrupt
from workers.corruptions.blur import smear
from workers.corruptions.constants import BRIGHTNESS, GAUSSIAN_BLUR, SATURATE, ZOOM_BLUR, Motion
from workers.corruptions.pixels import Images, zoom
from workers.corruptions.weather import _plasma

Floats = npt.NDArray[np.floating]


def assert_close(got: Images, expected: Floats) -> None:
    """The bytes are the truncated values, but for rounding at a boundary."""
    cut_off = np.clip(expected, 0, 1) * 255 - got
    assert cut_off.min() > -0.01
    assert cut_off.max() < 1.01


@pytest.mark.parametrize("severity", [1, 5])
def test_gaussian_blur_equals_scikit_image(severity: int, pictures: Images) -> None:
    expected = [
        skimage_gaussian(image / 255, GAUSSIAN_BLUR[severity - 1], channel_axis=-1)
        for image in pictures
    ]
    assert_close(corrupt(pictures, "gaussian_blur", severity, seed=0), np.stack(expected))


@pytest.mark.parametrize("severity", [1, 5])
def test_brightness_equals_hsv_value_raised(severity: int, pictures: Images) -> None:
    hsv = rgb2hsv(pictures / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + BRIGHTNESS[severity - 1], 0, 1)
    assert_close(corrupt(pictures, "brightness", severity, seed=0), hsv2rgb(hsv))


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_saturate_equals_hsv_saturation_scaled(severity: int, pictures: Images) -> None:
    pictures = pictures.copy()
    pictures[:, :4] = pictures[:, :4, :, :1]  # grey, whose hue is 0
    pictures[:, 4] = 0
    hsv = rgb2hsv(pictures / 255)
    c = SATURATE[severity - 1]
    hsv[..., 1] = np.clip(hsv[..., 1] * c.gain + c.offset, 0, 1)
    assert_close(corrupt(pictures, "saturate", severity, seed=0), hsv2rgb(hsv))


def clipped_zoom(image: Floats, factor: float) -> Floats:
    size = len(image)
    kept = int(np.ceil(size / factor))
    top = (size - kept) // 2
    zoomed = ndimage.zoom(image[top : top + kept, top : top + kept], (factor, factor, 1), order=1)
    trim = (len(zoomed) - size) // 2
    return zoomed[trim : trim + size, trim : trim + size]


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, 1.01, 1.13, 1.25, 1.75, 2.25])
def test_zoom_equals_scipy_zoom_of_the_centre(factor: float, pictures: Images) -> None:
    pixels = pictures.astype(np.float32) / 255
    expected = np.stack([clipped_zoom(image, factor) for image in pixels])
    assert zoom(pixels, factor) == pytest.approx(expected, abs=1e-5)


def test_zoom_of_small_images_is_symmetric_about_the_centre() -> None:
    line = np.abs(np.arange(8) - 3.5).astype(np.float32)
    image = (line[:, None] + line)[None, ..., None]
    zoomed = zoom(image, 1.06)
    assert zoomed == pytest.approx(zoomed[:, ::-1, ::-1], abs=1e-5)
    assert zoomed[0, 0, 0, 0] == pytest.approx(7 / 1.06, abs=1e-5)


@pytest.mark.parametrize(("severity", "zooms"), [(1, 7), (2, 12), (3, 16), (4, 21), (5, 26)])
def test_zoom_blur_averages_the_original_number_of_zooms(
    severity: int, zooms: int, pictures: Images
) -> None:
    factors = np.arange(1, ZOOM_BLUR[severity - 1], 0.01)
    assert len(factors) == zooms
    pixels = pictures[:4] / 255
    total = pixels + sum(
        np.stack([clipped_zoom(image, factor) for image in pixels]) for factor in factors
    )
    assert_close(corrupt(pictures[:4], "zoom_blur", severity, seed=0), total / (zooms + 1))


@pytest.mark.parametrize("iterations", [1, 2])
def test_glass_blur_gather_equals_the_original_loop(
    iterations: int, pictures: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.corruptions import blur
    from workers.corruptions.constants import Glass

    monkeypatch.setattr(blur, "GLASS_BLUR", (Glass(0.05, 1, iterations),))
    image = pictures[0].copy()
    got = blur.glass_blur(image[None], 1, [np.random.default_rng(3)])[0]

    generator = np.random.default_rng(3)
    for _ in range(iterations):
        dy, dx = generator.integers(-1, 1, (2, 30, 30), np.int16)
        for h in range(31, 1, -1):
            for w in range(31, 1, -1):
                image[h, w] = image[h + dy[h - 2, w - 2], w + dx[h - 2, w - 2]]
    assert np.array_equal(got, image)


def test_smear_equals_the_sum_over_taps_with_repeated_edges(pictures: Images) -> None:
    motion, angle = Motion(6, 2.0), -30.0
    image = pictures[0].astype(float)
    weights = np.exp(-(np.arange(13.0) ** 2) / (2 * motion.sigma**2))
    expected = np.zeros_like(image)
    for i, weight in enumerate(weights / weights.sum()):
        dx = int(np.ceil(i * np.cos(np.deg2rad(angle)) - 0.5))
        dy = int(np.ceil(i * np.sin(np.deg2rad(angle)) - 0.5))
        rows = np.clip(np.arange(32) + dy, 0, 31)
        columns = np.clip(np.arange(32) + dx, 0, 31)
        expected += weight * image[rows][:, columns]
    assert_close(smear(pictures[:1], motion, [angle], 1.0)[0], expected / 255)


@pytest.mark.parametrize("decay", [3.0, 1.75])
def test_plasma_equals_diamond_square_point_by_point(decay: float) -> None:
    size = 8
    noise = np.random.default_rng(2).uniform(-1, 1, (size, size))
    plasma = np.zeros((size, size))
    step, amplitude = size, 100.0
    while step >= 2:
        half = step // 2
        for y in range(0, size, step):
            for x in range(0, size, step):
                corners = sum(
                    plasma[(y + a) % size, (x + b) % size] for a in (0, step) for b in (0, step)
                )
                plasma[y + half, x + half] = corners / 4 + amplitude**2 * noise[y + half, x + half]
        for y in range(0, size, half):
            for x in range((y + half) % step, size, step):
                around = sum(
                    plasma[(y + a) % size, (x + b) % size]
                    for a, b in ((half, 0), (-half, 0), (0, half), (0, -half))
                )
                plasma[y, x] = around / 4 + amplitude**2 * noise[y, x]
        step, amplitude = half, amplitude / decay
    plasma -= plasma.min()
    plasma /= plasma.max()
    got = _plasma(size, size, decay, [np.random.default_rng(2)])
    assert got[0, ..., 0] == pytest.approx(plasma, abs=1e-5)


def test_frost_without_its_photographs_says_what_to_install(
    pictures: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.corruptions import weather

    weather._frost_photographs.cache_clear()
    monkeypatch.setattr(weather, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="pip install imagecorruptions-imaug"):
        corrupt(pictures, "frost", 1, seed=0)
