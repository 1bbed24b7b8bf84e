"""``Figure``: a Vega-Lite figure that notebooks display and that can be saved to a file."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.client.errors import MissingPackageError

__all__ = ["Figure"]

_SCALE = 2.0  # pixels per point: sharp on a high-density screen


class Figure:
    """A figure of one sweep or of several.

    As the last value of a notebook cell it is displayed: interactively if the notebook supports
    Vega-Lite, else as a picture.

    Attributes:
        specification: Vega-Lite specification, with the data.
    """

    def __init__(self, specification: dict[str, Any]) -> None:
        self.specification = specification

    @classmethod
    def read(cls, content: bytes) -> Figure:
        """The figure in a response of the format ``vega-lite``."""
        return cls(json.loads(content))

    @property
    def title(self) -> str:
        """Title of the figure."""
        title = self.specification.get("title", "")
        text = title.get("text", "") if isinstance(title, dict) else title
        return " ".join(text) if isinstance(text, list) else str(text)

    def svg(self) -> str:
        """The figure as SVG.

        Raises:
            MissingPackageError: ``vl-convert-python`` is not installed.
        """
        try:
            import vl_convert
        except ImportError as error:
            raise MissingPackageError(
                "drawing needs vl-convert-python: pip install vl-convert-python, or request the "
                "picture from the service with figure_file"
            ) from error
        drawn: str = vl_convert.vegalite_to_svg(json.dumps(self.specification))
        return drawn

    def png(self, *, scale: float = _SCALE) -> bytes:
        """The figure as PNG; ``scale`` is in pixels per point."""
        svg = self.svg()
        import vl_convert

        drawn: bytes = vl_convert.svg_to_png(svg, scale=scale)
        return drawn

    def save(self, path: Path | str) -> None:
        """Save to a file: ``.svg``, ``.png``, or ``.vl`` and ``.json`` for Vega-Lite.

        Raises:
            ValueError: The file has another suffix.
        """
        file = Path(path)
        match file.suffix:
            case ".svg":
                file.write_text(self.svg(), encoding="utf-8")
            case ".png":
                file.write_bytes(self.png())
            case ".vl" | ".json":
                file.write_text(json.dumps(self.specification), encoding="utf-8")
            case suffix:
                raise ValueError(f"unknown suffix {suffix!r} (one of .svg, .png, .vl, .json)")

    def __repr__(self) -> str:
        """The title, in angle brackets."""
        return f"<Figure {self.title!r}>"

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        """The formats for a notebook: Vega-Lite, and a picture if it does not support that."""
        formats: dict[str, Callable[[], Any]] = {
            self._media_type: lambda: self.specification,
            "image/svg+xml": self.svg,
            "image/png": lambda: b64encode(self.png()).decode(),
            "text/plain": lambda: repr(self),
        }
        defaults = [name for name in formats if name != "image/png"]  # the others suffice
        requested = set(include or defaults) - set(exclude or ())
        bundle: dict[str, Any] = {}
        for name in formats:
            if name in requested:
                with suppress(MissingPackageError):
                    bundle[name] = formats[name]()
        return bundle

    @property
    def _media_type(self) -> str:
        """Media type of Vega-Lite in the major version of the specification."""
        schema = str(self.specification.get("$schema", ""))
        major = schema.rpartition("/v")[2].partition(".")[0]
        return f"application/vnd.vegalite.v{major}+json"
