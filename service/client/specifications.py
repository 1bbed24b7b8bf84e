"""Specifications as the client takes them, and the bodies of requests with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # importing it takes a second: only where it is needed
    from workers.spec import SweepSpec

__all__ = ["YAML", "Specification", "body_of"]

Specification: TypeAlias = "SweepSpec | Mapping[str, Any] | Path | str"
"""A specification: a model, plain data, the path of a file, or YAML or JSON text."""

YAML = "application/yaml"
"""Media type of the body."""


def body_of(specification: Specification, *, reuse: bool = False) -> str:
    """The body of a request with a specification and the files that it names.

    Args:
        specification: The specification.
        reuse: Whether to let the sweep take over trials of other sweeps.

    Raises:
        SpecError: A file cannot be read, or is not Python.
    """
    if reuse:
        from workers.spec.writing import with_setting

        return with_setting(body_of(specification), "reuse", True)
    match specification:
        case str():
            return _with_files(specification, Path())
        case Path():
            return _with_files(specification.read_text(), specification.parent)
        case Mapping():
            return _with_files(json.dumps(specification), Path())
        case _:
            return specification.model_dump_json()


def _with_files(text: str, folder: Path) -> str:
    if ".py:" not in text:  # most specifications name no file: do not import their model
        return text
    from workers.spec import with_files

    return with_files(text, folder)
