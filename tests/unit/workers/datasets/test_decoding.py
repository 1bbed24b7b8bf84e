from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from workers.datasets.decoding import (
    DecodedImage,
    FileState,
    UnusableImageError,
    decode_image,
    image_suffixes,
    to_eight_bits,
)

SIDE = 16
GREY = np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1).round().astype(np.uint8)
ALPHA = np.where(np.arange(SIDE) < SIDE // 2, 255, 64).astype(np.uint8) * np.ones(
    (SIDE, 1), np.uint8
)
OVER_WHITE = np.rint(COLOUR * (ALPHA[..., None] / 255) + 255.0 * (1 - ALPHA[..., None] / 255))


def rgb() -> Image.Image:
    return Image.fromarray(COLOUR)


def grey() -> Image.Image:
    return Image.fromarray(GREY.round().astype(np.uint8))


def with_alpha(mode: str) -> Image.Image:
    image = rgb().convert("RGBA") if mode.startswith("RGB") else grey().convert("LA")
    image.putalpha(Image.fromarray(ALPHA))
    return image.convert(mode)


def palette(mode: str = "P") -> Image.Image:
    return rgb().quantize(256).convert(mode)


def sixteen(mode: str) -> Image.Image:
    kind = ">u2" if mode == "I;16B" else "<u2"
    values = (GREY * 257).round().astype(kind)
    return Image.frombuffer(mode, values.shape, values.tobytes(), "raw", mode, 0, 1)


def lab() -> Image.Image:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    found = ImageCms.applyTransform(rgb(), to_lab)
    assert found is not None
    return found


def as_colour(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.repeat(array[..., None], 3, axis=-1).astype(float)


GREY_OVER_WHITE = GREY * (ALPHA / 255) + 255 * (1 - ALPHA / 255)
BINARY = np.where(GREY > 127, 255, 0)

# Mode: (image, its colours, the largest difference that its own precision allows: 8-bit LAB is
# coarse where colours are saturated, premultiplied values where they are transparent).
CONVERTED = {
    "1": (lambda: Image.fromarray(BINARY.astype(np.uint8)).convert("1"), as_colour(BINARY), 0),
    "L": (grey, as_colour(GREY), 0.5),
    "LA": (lambda: with_alpha("LA"), as_colour(GREY_OVER_WHITE), 1.5),
    "La": (lambda: with_alpha("La"), as_colour(GREY_OVER_WHITE), 4),
    "P": (palette, np.asarray(palette().convert("RGB"), float), 0),
    "PA": (lambda: palette("PA"), np.asarray(palette().convert("RGB"), float), 0),
    "RGB": (rgb, COLOUR.astype(float), 0),
    "RGBA": (lambda: with_alpha("RGBA"), OVER_WHITE, 1),
    "RGBa": (lambda: with_alpha("RGBa"), OVER_WHITE, 4),
    "RGBX": (lambda: rgb().convert("RGBX"), COLOUR.astype(float), 0),
    "CMYK": (lambda: rgb().convert("CMYK"), COLOUR.astype(float), 1),
    "YCbCr": (lambda: rgb().convert("YCbCr"), COLOUR.astype(float), 3),
    "HSV": (lambda: rgb().convert("HSV"), COLOUR.astype(float), 6),
    "LAB": (lab, COLOUR.astype(float), 32),
    "I;16": (lambda: sixteen("I;16"), as_colour(GREY), 0.6),
    "I;16B": (lambda: sixteen("I;16B"), as_colour(GREY), 0.6),
    "I;16L": (lambda: sixteen("I;16L"), as_colour(GREY), 0.6),
    "I;16N": (lambda: sixteen("I;16N"), as_colour(GREY), 0.6),
}
REFUSED = {
    "I": lambda: Image.fromarray((GREY * 257).astype(np.int32)),
    "F": lambda: Image.fromarray((GREY / 255).astype(np.float32)),
}


def read(path: Path, **options: Any) -> DecodedImage:
    settings = {"size": SIDE, "channels": 3, **options}
    return decode_image(path, FileState.of(path.stat()), **settings)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_every_mode_of_pillow_is_decided() -> None:
    assert set(CONVERTED) | set(REFUSED) == set(Image.MODES)


@pytest.mark.parametrize("mode", CONVERTED)
def test_mode_becomes_the_picture_it_shows(mode: str) -> None:
    make, expected, tolerance = CONVERTED[mode]
    image = make()
    assert image.mode == mode
    found = np.asarray(to_eight_bits(image, 3), float)
    assert np.abs(found - expected).max() <= tolerance
    assert found.std() > 30
    luma = expected @ [0.299, 0.587, 0.114]
    assert np.abs(np.asarray(to_eight_bits(image, 1), float) - luma).max() <= tolerance + 1


@pytest.mark.parametrize("mode", REFUSED)
def test_mode_without_a_known_range_is_refused_unless_it_is_given(mode: str) -> None:
    image = REFUSED[mode]()
    assert image.mode == mode
    with pytest.raises(UnusableImageError) as error:
        to_eight_bits(image, 3)
    assert f"has the mode {mode} (" in error.value.problem
    assert "dataset.kwargs.value_range" in error.value.remedy
    high = 65535.0 if mode == "I" else 1.0
    found = np.asarray(to_eight_bits(image, 1, (0.0, high)), float)
    assert np.abs(found - GREY).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_sixteen_bit_file_keeps_its_picture(suffix: str, tmp_path: Path) -> None:
    found = read(save(sixteen("I;16"), tmp_path / f"x.{suffix}"), channels=1)
    assert np.abs(found.pixels[..., 0] - GREY).max() <= 1
    assert found.peak == 1.0


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jp2", "tga"])
def test_drawing_in_alpha_alone_is_seen(suffix: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (SIDE, SIDE))
    image.putalpha(grey())
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    found = read(save(image, tmp_path / f"x.{suffix}", **options))
    assert np.abs(found.pixels - (255 - as_colour(GREY))).max() <= 1
    assert found.transparent


def test_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = palette()
    black = int(np.asarray(image)[0, 0])
    path = save(image, tmp_path / "x.png", transparency=black)
    assert read(path).pixels[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(
        read(save(image, tmp_path / "y.png")).pixels, np.asarray(image.convert("RGB"))
    )
    assert not read(tmp_path / "y.png").transparent


def test_transparent_value_of_sixteen_bits_is_white(tmp_path: Path) -> None:
    path = save(sixteen("I;16"), tmp_path / "x.png", transparency=0)
    found = read(path, channels=1).pixels[..., 0]
    assert found[0, 0] == 255
    assert found[0, 1] == 1


def test_twelve_bit_and_inverted_tiff_are_read_by_their_tags(tmp_path: Path) -> None:
    white_is_zero = Image.fromarray(((255 - GREY) * 257).round().astype(np.uint16))
    inverted = save(white_is_zero, tmp_path / "inverted.tif", tiffinfo={262: 0})
    assert np.abs(read(inverted, channels=1).pixels[..., 0] - GREY).max() <= 1
    (tmp_path / "twelve.tif").write_bytes(twelve_bit_tiff())
    found = read(tmp_path / "twelve.tif", channels=1)
    assert np.abs(found.pixels[..., 0] - GREY).max() <= 1


def twelve_bit_tiff() -> bytes:
    """Return GREY in 12 bits a value, two values in three bytes."""
    values = (GREY / 255 * 4095).round().astype(np.uint16).reshape(-1, 2)
    first, second = values.T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    pixels = packed.astype(np.uint8).tobytes()
    tags = [
        (256, 4, SIDE),
        (257, 4, SIDE),
        (258, 3, 12),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, SIDE),
        (279, 4, len(pixels)),
    ]
    entries = b"".join(struct.pack("<HHII", number, kind, 1, x) for number, kind, x in tags)
    header = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    return header + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_the_camera_is_applied(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    """Corner colours of the upright picture; EXIF 2.32, tag 274: where row 0 and column 0 lie."""
    upright = np.zeros((SIDE, SIDE), np.uint8)
    upright[:8, :8], upright[:8, 8:], upright[8:, :8], upright[8:, 8:] = 0, 80, 160, 240
    undo = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.T,
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x.T, 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    found = read(save(stored, tmp_path / f"x.{suffix}", exif=exif, **options), channels=1)
    assert np.abs(found.pixels[..., 0].astype(int) - upright).max() <= 2


def test_damaged_exif_data_leave_the_picture_as_it_is(tmp_path: Path) -> None:
    path = save(grey(), tmp_path / "x.png", exif=b"Exif\0\0nonsense")
    assert np.abs(read(path, channels=1).pixels[..., 0] - GREY).max() <= 1


def test_first_of_several_frames_is_used_and_counted(tmp_path: Path) -> None:
    frames = [grey(), grey().transpose(Image.Transpose.ROTATE_180)]
    for suffix in ("gif", "png", "tif", "webp"):
        path = tmp_path / f"x.{suffix}"
        options = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        found = read(path, channels=1)
        assert found.frames == 2, suffix
        assert np.abs(found.pixels[..., 0] - GREY).max() <= 1, suffix


def test_further_pictures_of_a_camera_file_are_not_frames(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    rgb().save(path, "MPO", save_all=True, append_images=[grey().convert("RGB")], quality=95)
    with Image.open(path) as image:
        assert image.format == "MPO"
    assert read(path).frames == 1


def test_colour_profile_is_not_applied(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = save(rgb(), tmp_path / "x.png", icc_profile=profile)
    assert np.array_equal(read(path).pixels, COLOUR)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file that announces a size and holds nothing of it."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", width, height)

    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is an empty file"),
        (b"not a picture", "cannot be decoded: it is none of AVIF, .*PNG"),
        (png_header(10_000, 10_000), r"is too large: .*at most 89,478,485 pixels are allowed"),
        (png_header(2**31 - 1, 2**31 - 1), "is too large"),
        (png_header(0, 5), "cannot be decoded"),
        (png_header(64, 64), "cannot be decoded: image file is truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "it is none of"),
    ],
)
def test_file_that_cannot_be_used_says_why(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UnusableImageError) as error:
        read(tmp_path / "x.png")
    assert re.search(message, error.value.problem)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif", "webp", "jp2", "ppm", "tga"])
def test_file_that_is_damaged_anywhere_is_read_or_refused(suffix: str, tmp_path: Path) -> None:
    whole = save(rgb(), tmp_path / f"x.{suffix}").read_bytes()
    generator = np.random.default_rng(0)
    damaged = tmp_path / f"damaged.{suffix}"
    refused = 0
    for _ in range(60):
        content = bytearray(whole[: generator.integers(1, len(whole))])
        content[generator.integers(len(content))] ^= int(generator.integers(1, 256))
        damaged.write_bytes(content)
        try:
            with warnings.catch_warnings(action="ignore"):
                read(damaged)
        except UnusableImageError:
            refused += 1
    assert refused > 30


def test_file_that_changed_since_it_was_listed_is_refused(tmp_path: Path) -> None:
    path = save(rgb(), tmp_path / "x.png")
    state = FileState.of(path.stat())
    save(grey(), path)
    with pytest.raises(UnusableImageError, match="has changed since the folder was listed"):
        decode_image(path, state, SIDE, 3)
    path.unlink()
    with pytest.raises(UnusableImageError, match="No such file"):
        decode_image(path, state, SIDE, 3)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = (GREY / 255).astype(np.float32)
    values[3, 3] = np.nan
    path = save(Image.fromarray(values), tmp_path / "x.tif")
    with pytest.raises(UnusableImageError, match="holds values that are not finite"):
        read(path, value_range=(0.0, 1.0))


def test_suffixes_are_those_of_the_formats_that_are_read() -> None:
    known = {".jfif", ".jpe", ".pnm", ".png", ".webp", ".avif", ".jp2", ".tga", ".tiff", ".apng"}
    assert known < image_suffixes()
    assert not {".eps", ".pdf", ".h5", ".mpg", ".wmf"} & image_suffixes()
