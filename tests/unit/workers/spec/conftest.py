from __future__ import annotations

import copy
from typing import Any

import pytest

SMALLEST = {"name": "small", "dataset": "digits", "model": "cnn-tiny", "optimizers": ["sam"]}
SECTIONS = {
    "dataset": {"name": "digits"},
    "model": {"name": "cnn-tiny"},
    "optimizers": [{"name": "sam"}],
}


def set_at(data: Any, path: tuple[int | str, ...], value: object) -> None:
    """Put a value at a place of a nest of mappings and lists, making mappings on the way."""
    *way, last = path
    for part in way:
        data = data[part] if isinstance(part, int) else data.setdefault(part, {})
    data[last] = value


@pytest.fixture
def changed():
    """Build the smallest specification with changes at paths."""

    def build(*changes: tuple[tuple[int | str, ...], object]) -> dict[str, Any]:
        data: dict[str, Any] = copy.deepcopy(SMALLEST)
        for path, value in changes:
            if len(path) > 1 and path[0] in SECTIONS and not isinstance(data[path[0]], dict):
                data[path[0]] = copy.deepcopy(SECTIONS[path[0]])
            set_at(data, path, value)
        return data

    return build
