"""Schemas of the catalog and the presets, of the API and of the client."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["CatalogView", "EntryView", "PresetView"]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class EntryView(_View):
    """An optimizer, model or data set that a sweep can use."""

    name: str
    title: str
    summary: str
    facts: dict[str, Any]


class CatalogView(_View):
    """Everything that a sweep can use, and the metrics of its trials."""

    optimizers: list[EntryView]
    models: list[EntryView]
    datasets: list[EntryView]
    corruptions: list[str]
    metrics: dict[str, str]
    """Title of each metric by its name."""


class PresetView(_View):
    """A specification to start from."""

    name: str
    trials: int
    text: str
    """YAML of the specification, with comments."""
