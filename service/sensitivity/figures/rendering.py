"""Export formats of figures, and their rendering as SVG, PNG and CSV; works offline."""

import json
from typing import Any

import vl_convert

from service.sensitivity.dotted import write_csv
from service.sensitivity.errors import UnknownNameError
from service.sensitivity.figures.figure_data import FigureData

__all__ = [
    "DRAWN_FORMATS",
    "MEDIA_TYPES",
    "PICTURE_FORMATS",
    "rasterize",
    "records_csv",
    "render",
]

PICTURE_FORMATS = ("svg", "png")
DRAWN_FORMATS = ("vega-lite", *PICTURE_FORMATS)
MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "vega-lite": "application/vnd.vegalite.v6+json",
    "svg": "image/svg+xml",
    "png": "image/png",
}

_VEGA_LITE_VERSION = "6.4"
_PNG_SCALE = 2.0  # pixels per point: sharp on a high-density screen and in print at column width


def render(spec: dict[str, Any], picture_format: str, *, scale: float = _PNG_SCALE) -> bytes:
    """Draw a Vega-Lite specification.

    Args:
        spec: Result of :func:`service.sensitivity.figures.draw`.
        picture_format: "svg" or "png".
        scale: Pixels per point of a png.

    Raises:
        UnknownNameError: Neither svg nor png.
    """
    if picture_format not in PICTURE_FORMATS:
        raise UnknownNameError("format", picture_format, PICTURE_FORMATS)
    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=_VEGA_LITE_VERSION)
    return svg.encode() if picture_format == "svg" else rasterize(svg.encode(), scale=scale)


def rasterize(svg: bytes, *, scale: float = _PNG_SCALE) -> bytes:
    """Convert a drawn svg to png."""
    png: bytes = vl_convert.svg_to_png(svg.decode(), scale=scale)
    return png


def records_csv(figure: FigureData) -> bytes:
    """The records of a figure as CSV; None is an empty field."""
    return write_csv(figure.records)
