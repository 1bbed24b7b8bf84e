"""Figures as bytes: data, specification or picture. Needs no network."""

import csv
import io
import json
from typing import Any

import vl_convert

from service.summaries.errors import UnknownNameError
from service.summaries.figures.data import FigureData

__all__ = ["MEDIA_TYPES", "PICTURE_FORMATS", "records_csv", "render"]

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
    text = json.dumps(spec)
    if picture_format == "svg":
        svg: str = vl_convert.vegalite_to_svg(text, vl_version=_VEGA_LITE_VERSION)
        return svg.encode()
    if picture_format == "png":
        png: bytes = vl_convert.vegalite_to_png(text, vl_version=_VEGA_LITE_VERSION, scale=scale)
        return png
    raise UnknownNameError("format", picture_format, PICTURE_FORMATS)


def records_csv(figure: FigureData) -> bytes:
    """The records of a figure as CSV; an empty field where there is no value."""
    out = io.StringIO()
    writer = csv.DictWriter(
        out, list(figure.records[0]) if figure.records else [], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(figure.records)
    return out.getvalue().encode()
