"""HTTP for what can be swept: the catalog, the presets, the schema of a specification."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from service.errors import NotFoundProblem, problems
from workers.catalog import Catalog, datasets, models, optimizers
from workers.corruptions.names import CORRUPTIONS
from workers.metrics import METRICS
from workers.spec import SweepSpec, load_spec

__all__ = ["CatalogView", "EntryView", "PresetView", "preset_names", "preset_text", "router"]

router = APIRouter(tags=["catalog"])

_PRESETS = files("workers.presets")


class EntryView(BaseModel):
    """One thing that can be swept."""

    name: str
    title: str
    summary: str
    facts: dict[str, Any]


class CatalogView(BaseModel):
    """All that can be swept, and what is measured."""

    optimizers: list[EntryView]
    models: list[EntryView]
    datasets: list[EntryView]
    corruptions: list[str]
    metrics: dict[str, str]


class PresetView(BaseModel):
    """A specification to start from."""

    name: str
    trials: int
    text: str
    """Its YAML, with comments."""


def preset_names() -> list[str]:
    """The presets by name."""
    return sorted(
        file.name.removesuffix(".yaml")
        for file in _PRESETS.iterdir()
        if file.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """The YAML of a preset.

    Raises:
        NotFoundProblem: There is none of that name.
    """
    known = preset_names()
    if name not in known:
        detail = f"no preset {name[:40]!r} (there are {', '.join(known)})"
        raise NotFoundProblem(detail, code="unknown-preset")
    return (_PRESETS / f"{name}.yaml").read_text()


@router.get("/catalog")
def show_catalog() -> CatalogView:
    """Optimizers, models, data sets, corruptions and metrics."""
    return CatalogView(
        optimizers=_entries(optimizers),
        models=_entries(models),
        datasets=_entries(datasets),
        corruptions=list(CORRUPTIONS),
        metrics={name: metric.title for name, metric in METRICS.items()},
    )


@router.get("/presets")
def list_presets() -> list[PresetView]:
    """Specifications to start from."""
    return [_preset(name) for name in preset_names()]


@router.get("/presets/{name}", responses=problems(NotFoundProblem))
def show_preset(name: str) -> PresetView:
    """One specification to start from."""
    return _preset(name)


@router.get("/schema/sweep.json")
def show_schema(request: Request) -> dict[str, Any]:
    """The JSON Schema of a specification, for editors."""
    known = {"$schema": GenerateJsonSchema.schema_dialect, "$id": str(request.url)}
    return known | SweepSpec.model_json_schema()


def _entries(catalog: Catalog) -> list[EntryView]:
    return [
        EntryView(
            name=entry.name, title=entry.title, summary=entry.summary, facts=dict(entry.facts)
        )
        for entry in catalog.entries().values()
    ]


def _preset(name: str) -> PresetView:
    text = preset_text(name)
    return PresetView(name=name, trials=load_spec(text).trial_count, text=text)
