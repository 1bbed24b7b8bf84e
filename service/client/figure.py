"""A figure that draws itself where it is shown."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.client.errors import MissingPackageError

__all__ = ["Figure"]

_SCALE = 2.0  # pixels a point: sharp on a high-density screen


class Figure:
    """A figure of one sweep or of several.

    The last value of a notebook's cell, it is interactive where the notebook knows Vega-Lite, and a
    picture elsewhere.

    Attributes:
        specification: In Vega-Lite, with its data.
    """

    def __init__(self, specification: dict[str, Any]) -> None:
        self.specification = specification

    @classmethod
    def read(cls, content: bytes) -> Figure:
        """The figure that the service answers as ``vega-lite``."""
        return cls(json.loads(content))

    @property
    def title(self) -> str:
        """Its title."""
        title = self.specification.get("title", "")
        text = title.get("text", "") if isinstance(title, dict) else title
        return " ".join(text) if isinstance(text, list) else str(text)

    def svg(self) -> str:
        """Drawn as SVG.

        Raises:
            MissingPackageError: ``vl-convert-python`` is not installed.
        """
        try:
            import vl_convert
        except ImportError as error:
            raise MissingPackageError(
                "drawing needs vl-convert-python: pip install vl-convert-python, or ask the "
                "service for the picture with figure_file"
            ) from error
        drawn: str = vl_convert.vegalite_to_svg(json.dumps(self.specification))
        return drawn

    def png(self, *, scale: float = _SCALE) -> bytes:
        """Drawn as PNG; ``scale`` is pixels a point."""
        svg = self.svg()
        import vl_convert

        drawn: bytes = vl_convert.svg_to_png(svg, scale=scale)
        return drawn

    def save(self, path: Path | str) -> None:
        """Write it to a file: ``.svg``, ``.png``, or ``.vl`` and ``.json`` for Vega-Lite.

        Raises:
            ValueError: The suffix is another one.
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
        """Its title."""
        return f"<Figure {self.title!r}>"

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        """What a notebook shows: Vega-Lite, and a picture where it knows none."""
        views: dict[str, Callable[[], Any]] = {
            self._media_type: lambda: self.specification,
            "image/svg+xml": self.svg,
            "image/png": lambda: b64encode(self.png()).decode(),
            "text/plain": lambda: repr(self),
        }
        usual = [name for name in views if name != "image/png"]  # the others are enough
        wanted = set(include or usual) - set(exclude or ())
        bundle: dict[str, Any] = {}
        for name in views:
            if name in wanted:
                with suppress(MissingPackageError):
                    bundle[name] = views[name]()
        return bundle

    @property
    def _media_type(self) -> str:
        """Vega-Lite's, of the specification's major version."""
        schema = str(self.specification.get("$schema", ""))
        major = schema.rpartition("/v")[2].partition(".")[0]
        return f"application/vnd.vegalite.v{major}+json"
