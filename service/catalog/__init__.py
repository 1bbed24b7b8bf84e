"""Catalog of what a sweep can use: optimizers, models, data sets, corruptions, metrics, presets."""

from service.catalog.schemas import CatalogView, EntryView, PresetView

__all__ = ["CatalogView", "EntryView", "PresetView"]
