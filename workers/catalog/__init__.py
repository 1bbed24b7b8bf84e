"""Catalog of optimizers, models and data sets by name.

It holds names and a few facts, and imports the code of an entry only when a trial needs it: the
service reads it without torch. A package adds its own entries through the entry-point groups
``sasam.optimizers``, ``sasam.models`` and ``sasam.datasets``. A user's own code has a name of the
form ``./FILE.py:NAME`` or ``PACKAGE.MODULE:NAME`` instead of an entry.
"""

from .catalog import Catalog, CatalogEntry
from .dataset_entries import datasets
from .model_entries import models
from .optimizer_entries import LearningRateRole, WeightDecayKind, optimizers

__all__ = [
    "Catalog",
    "CatalogEntry",
    "LearningRateRole",
    "WeightDecayKind",
    "datasets",
    "models",
    "optimizers",
]
