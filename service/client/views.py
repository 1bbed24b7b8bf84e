"""What the catalog answers; sweeps, trials and summaries have the service's own schemas."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Catalog", "CatalogEntry", "Preset", "Repaired"]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class CatalogEntry(_View):
    """One thing that can be swept."""

    name: str
    title: str
    summary: str
    facts: dict[str, Any]


class Catalog(_View):
    """All that can be swept, and what is measured."""

    optimizers: list[CatalogEntry]
    models: list[CatalogEntry]
    datasets: list[CatalogEntry]
    corruptions: list[str]
    metrics: dict[str, str]


class Preset(_View):
    """A specification to start from; ``text`` is its YAML, with comments."""

    name: str
    trials: int
    text: str


class Repaired(_View):
    """What a repair has done."""

    sweeps: list[str]
    trials: int
    problems: list[str] = []
