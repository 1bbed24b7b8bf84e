"""Figures as bytes: data, specification or picture. Needs no network."""

import csv
import io
import json
from typing import Any

import vl_convert

from service.summaries.errors import UnknownNameError
from service.summaries.figures.data import FigureData

__all__ = ["MEDIA_TYPES", "PICTURE_FORMATS", "rasterize", "records_csv", "render"]

PICTURE_FORMATS = ("svg", "png")
MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "vega-lite": "application/vnd.vegalite.v6+json",
    "svg": "image/svg+xml",
    "png": "image/png",
}

_VEGA_LITE_VERSION = "6.4"
_PNG_SCALE = 2.0  # pixels a point: sharp on a high-density screen and in print at column width


def render(spec: dict[str, Any], picture_format: str, *, scale: float = _PNG_SCALE) -> bytes:
    """Draw a Vega-Lite specification.

    Args:
        spec: What :func:`service.summaries.figures.draw` returns.
        picture_format: "svg" or "png".
        scale: Pixels a point of a png.

    Raises:
        UnknownNameError: Neither svg nor png.
    """
    if picture_format not in PICTURE_FORMATS:
        raise UnknownNameError("format", picture_format, PICTURE_FORMATS)
    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=_VEGA_LITE_VERSION)
    return svg.encode() if picture_format == "svg" else rasterize(svg.encode(), scale=scale)


def rasterize(svg: bytes, *, scale: float = _PNG_SCALE) -> bytes:
    """A drawn svg as png."""
    png: bytes = vl_convert.svg_to_png(svg.decode(), scale=scale)
    return png


def records_csv(figure: FigureData) -> bytes:
    """The records of a figure as CSV; an empty field where there is no value."""
    out = io.StringIO()
    writer = csv.DictWriter(
        out, list(figure.records[0]) if figure.records else [], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(figure.records)
    return out.getvalue().encode()
