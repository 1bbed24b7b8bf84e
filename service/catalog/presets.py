"""Presets: the specifications to start from, as the package ``workers.presets`` stores them."""

from __future__ import annotations

from importlib.resources import files

from service.problems import NotFoundProblem

__all__ = ["preset_names", "preset_text"]

_PRESETS = files("workers.presets")


def preset_names() -> list[str]:
    """The names of the presets, sorted."""
    return sorted(
        file.name.removesuffix(".yaml")
        for file in _PRESETS.iterdir()
        if file.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """The YAML of a preset.

    Raises:
        NotFoundProblem: There is no such preset.
    """
    known = preset_names()
    if name not in known:
        detail = f"no preset {name[:40]!r} (there are {', '.join(known)})"
        raise NotFoundProblem(detail, code="unknown-preset")
    return (_PRESETS / f"{name}.yaml").read_text()
