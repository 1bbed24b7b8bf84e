"""HTTP endpoints of the catalog, the presets and the JSON Schema of a specification."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic.json_schema import GenerateJsonSchema

from service.catalog.presets import preset_names, preset_text
from service.catalog.schemas import CatalogView, EntryView, PresetView
from service.problems import NotFoundProblem, problems
from workers.catalog import Catalog, datasets, models, optimizers
from workers.corruptions.names import CORRUPTIONS
from workers.metrics import METRICS
from workers.spec import SweepSpec, load_spec

__all__ = ["list_presets", "router"]

router = APIRouter(tags=["catalog"])


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
    head = {"$schema": GenerateJsonSchema.schema_dialect, "$id": str(request.url)}
    return head | SweepSpec.model_json_schema()


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
