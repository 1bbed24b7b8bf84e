"""Decoding of image files to 8-bit grey or colour, for each of Pillow's modes.

    1, L, P, RGB, RGBX, CMYK, YCbCr, LAB, HSV   Pillow's conversion, colour profiles not applied
    LA, La, PA, RGBA, RGBa, transparent colours  laid over white
    I;16, I;16B, I;16L, I;16N                    [0, 2^bits - 1] mapped linearly to [0, 255]
    I from PNG and PGM                           [0, 65535], likewise
    any other I, and F                           ``value_range`` mapped to [0, 255], else refused

``value_range`` replaces the range of all modes of more than 8 bits; values beyond it are
clipped. Pillow's own conversion of these modes clips at 255, which leaves plain white or black.
The orientation of the EXIF data is applied. Of several frames the first is used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from workers.datasets.dataset import Images

__all__ = [
    "DecodedImage",
    "FileState",
    "UnusableImageError",
    "decode_image",
    "image_suffixes",
    "to_eight_bits",
]

FORMATS = (
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "JPEG",
    "JPEG2000",
    "PCX",
    "PNG",
    "PPM",
    "QOI",
    "SGI",
    "SUN",
    "TGA",
    "TIFF",
    "WEBP",
)
"""Pixel formats that Pillow decodes itself, whatever a file's suffix; EPS would run Ghostscript."""

_UNKNOWN_FORMAT = f"cannot be decoded: it is none of {', '.join(FORMATS)}, or it is damaged"
_CHANNEL_MODES = {1: "L", 3: "RGB"}
_OPAQUE = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_SIXTEEN_BITS = {"I;16", "I;16B", "I;16L", "I;16N"}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF 6.0
_WHITE_IS_ZERO = 0
_MAX_PIXELS = 89_478_485
"""Pillow's limit for what it takes for a decompression bomb: 256 MiB of 24-bit pixels."""


class UnusableImageError(Exception):
    """An image that cannot be used.

    Args:
        problem: What is wrong; follows the name of the file in messages.
        remedy: How to correct it.
    """

    def __init__(self, problem: str, remedy: str = "replace or remove it") -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True, slots=True)
class FileState:
    """Size and modification time of a file, to detect changes."""

    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """Return the state that the system reports."""
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """A decoded image.

    Args:
        pixels: uint8, shape (size, size, channels).
        frames: Number of frames in the file, of which this is the first.
        transparent: Whether it was laid over white.
        peak: The largest value as a share of its range, in [0, 1]; None for images of 8 bits.
    """

    pixels: Images
    frames: int
    transparent: bool
    peak: float | None


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case with the dot, of the files that can be decoded."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, name in known.items() if name in FORMATS)


def decode_image(
    path: Path,
    state: FileState,
    size: int,
    channels: int,
    value_range: tuple[float, float] | None = None,
) -> DecodedImage:
    """Return an image's central square, resized with an anti-aliasing filter.

    Args:
        path: The file.
        state: Its state when the data set was listed.
        size: Height and width of the result, in pixels.
        channels: 1 for grey, 3 for colour.
        value_range: What becomes black and white in images of more than 8 bits.

    Raises:
        UnusableImageError: The file is no image, is damaged, too large, has changed since it was
            listed, or its mode cannot be converted.
    """
    try:
        with path.open("rb") as file:
            picture = _read(file, size, channels, value_range)
            found = FileState.of(os.fstat(file.fileno()))
    except (UnusableImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(str(error)) from error
    except UnidentifiedImageError as error:
        problem = "is an empty file" if not state.size_bytes else _UNKNOWN_FORMAT
        raise UnusableImageError(problem) from error
    except OSError as error:  # of the system, or Pillow's of files that are cut short
        raise UnusableImageError(f"cannot be decoded: {error.strerror or error}") from error
    except Exception as error:  # decoders raise errors of any kind on damaged files
        reason = f"{type(error).__name__}: {error}"
        raise UnusableImageError(f"cannot be decoded: {reason}") from error
    if found != state:
        raise UnusableImageError("has changed since the folder was listed", "run it again")
    return picture


def to_eight_bits(
    image: Image.Image, channels: int, value_range: tuple[float, float] | None = None
) -> Image.Image:
    """Convert an image to mode L or RGB, by the table above.

    Raises:
        UnusableImageError: Its mode cannot be converted.
    """
    wanted = _CHANNEL_MODES[channels]
    if image.mode in _SIXTEEN_BITS or image.mode in ("I", "F"):
        return _scaled(image, _range(image, value_range)).convert(wanted)
    if image.mode in _PREMULTIPLIED:
        image = image.convert(_PREMULTIPLIED[image.mode])
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    elif image.mode not in _OPAQUE:
        known = ", ".join(sorted(_OPAQUE | _SIXTEEN_BITS | set(_PREMULTIPLIED)))
        raise UnusableImageError(
            f"has the mode {image.mode}", f"convert it to one of {known}, LA, PA, RGBA, I or F"
        )
    if image.mode == wanted:
        return image
    return image.convert("RGB").convert(wanted)  # Pillow converts LAB to RGB alone


def _read(
    file: BinaryIO, size: int, channels: int, value_range: tuple[float, float] | None
) -> DecodedImage:
    """Decode the image in an open file."""
    with Image.open(file, formats=FORMATS) as image:
        return _square(image, size, channels, value_range)


def _square(
    image: Image.Image, size: int, channels: int, value_range: tuple[float, float] | None
) -> DecodedImage:
    """Return the central square of an image."""
    if image.width * image.height > _MAX_PIXELS:
        raise _too_large(f"{image.width} x {image.height} pixels")
    # The further pictures of a camera's MPO file are previews or other views of its first one.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    image.load()
    peak = _peak(image, value_range)
    picture = _upright(to_eight_bits(image, channels, value_range), image)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = (left, top, left + side, top + side)
    resized = picture.resize((size, size), Image.Resampling.BILINEAR, box=square)
    pixels = np.asarray(resized).reshape(size, size, channels)
    return DecodedImage(pixels, frames, _is_transparent(image), peak)


def _upright(picture: Image.Image, source: Image.Image) -> Image.Image:
    """Apply the orientation in the EXIF data; damaged EXIF data are ignored."""
    try:
        orientation = source.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF data raise errors of any kind; the pixels are intact
        return picture
    if orientation == 1:
        return picture
    turned = picture.copy()
    turned.info = {}  # drop all metadata except the orientation
    turned.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(turned)


def _is_transparent(image: Image.Image) -> bool:
    """Return whether any pixel may be transparent."""
    if image.mode in _PREMULTIPLIED or image.mode in ("LA", "PA", "RGBA"):
        return image.getchannel(len(image.getbands()) - 1).getextrema() != (255, 255)
    return image.has_transparency_data


def _range(image: Image.Image, given: tuple[float, float] | None) -> tuple[float, float]:
    """Return the values that become black and white in an image of more than 8 bits."""
    if given is not None:
        return given
    if image.mode in _SIXTEEN_BITS:
        bits = _tag(image, _BITS_PER_SAMPLE, 16)
        return (0.0, 2.0**bits - 1.0)
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        return (0.0, 65535.0)  # Pillow brings a PGM's own maximum to that
    kind = "32-bit floats" if image.mode == "F" else "signed or 32-bit integers"
    raise UnusableImageError(
        f"has the mode {image.mode} ({kind}), whose black and white are not known",
        "set dataset.kwargs.value_range to [black, white], or convert it to 8 or 16 bits",
    )


def _scaled(image: Image.Image, limits: tuple[float, float]) -> Image.Image:
    """Map a range of values linearly to [0, 255]; values beyond it are clipped."""
    values = _values(image)
    if not np.isfinite(values).all():
        raise UnusableImageError("holds values that are not finite", "replace or remove them")
    low, high = limits
    levels = np.rint(np.clip((values - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
    if _tag(image, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO:
        levels = 255 - levels  # Pillow inverts such files only up to 8 bits
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels[values == transparent] = 255
    return Image.fromarray(levels)


def _peak(image: Image.Image, value_range: tuple[float, float] | None) -> float | None:
    """Return the largest value as a share of its range; None for images of 8 bits."""
    if image.mode not in _SIXTEEN_BITS and image.mode not in ("I", "F"):
        return None
    low, high = _range(image, value_range)
    return float(np.clip((_values(image).max() - low) / (high - low), 0.0, 1.0))


def _values(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.asarray(image).astype(np.float64)


def _tag(image: Image.Image, number: int, default: int) -> int:
    """Return an integer tag of a TIFF file; the default for all other formats."""
    value = getattr(image, "tag_v2", {}).get(number, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _too_large(what: str) -> UnusableImageError:
    return UnusableImageError(
        f"is too large: {what}, at most {_MAX_PIXELS:,} pixels are allowed", "scale it down"
    )
