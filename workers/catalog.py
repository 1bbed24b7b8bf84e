"""Catalog of optimizers, models and data sets by name.

It holds names and a few facts, and imports the code of an entry only when a trial needs it: the
service reads it without torch. A package adds its own entries through the entry-point groups
``sasam.optimizers``, ``sasam.models`` and ``sasam.datasets``. A user's own code has a name of the
form ``./FILE.py:NAME`` or ``PACKAGE.MODULE:NAME`` instead of an entry.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Literal

from workers.own_code.names import FORMS, CodeName, parse_code_name

__all__ = ["Catalog", "CatalogEntry", "LearningRateRole", "datasets", "models", "optimizers"]

LearningRateRole = Literal["step_size", "initial_step_size"]


_NO_FILES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """An optimizer, model or data set.

    Args:
        name: Its name in a specification.
        title: Its name in tables and figures.
        target: ``module:attribute`` of its factory.
        summary: One sentence.
        facts: Facts for clients, such as the number of classes.
    """

    name: str
    title: str
    target: str
    summary: str
    facts: Mapping[str, Any]


class Catalog:
    """Named entries of one kind: built-in ones, those of installed packages, and families.

    A family is an entry whose name ends in a colon, such as ``timm:``. It matches every name with
    that prefix, and its library resolves the rest.
    """

    def __init__(self, kind: str, entries: list[CatalogEntry]) -> None:
        self.kind = kind
        self._built_in = {entry.name: entry for entry in entries}

    def entries(self) -> dict[str, CatalogEntry]:
        """All entries by name; a built-in name cannot be taken by a package."""
        return {**_plugins(f"sasam.{self.kind}s"), **self._built_in}

    def require(self, name: str) -> str:
        """Return ``name`` if it is known; a user's own code without ``./``.

        Raises:
            ValueError: It is unknown; the message has the known names and the nearest one.
        """
        self.entry(name)
        return str(self.code_name(name) or name)

    def entry(self, name: str) -> CatalogEntry:
        """The entry of ``name``, or of its family.

        Raises:
            ValueError: It is unknown; the message has the known names and the nearest one.
        """
        code_name = self.code_name(name)
        if code_name is not None:
            return _code_entry(code_name)
        entries = self.entries()
        family, colon, member = name.partition(":")
        found = entries.get(f"{family}:" if colon and member else name)
        if found is None or (found.name.endswith(":") and not member):
            known = [f"{key}<name>" if key.endswith(":") else key for key in sorted(entries)]
            near = difflib.get_close_matches(name, known, n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"unknown {self.kind} {name!r}{guess} (known: {', '.join(known)}; "
                f"your own: {FORMS})"
            )
        return found

    def code_name(self, name: str) -> CodeName | None:
        """The parts of the name of a user's own code; None for an entry or an unknown name."""
        if f"{name.partition(':')[0]}:" in self.entries():
            return None
        return parse_code_name(name)

    def title(self, name: str) -> str:
        """Title of ``name`` in tables and figures."""
        entry = self.entry(name)
        return name if entry.name.endswith(":") else entry.title

    def load(self, name: str, files: Mapping[str, str] = _NO_FILES) -> Callable[..., Any]:
        """Import the factory of ``name``.

        Args:
            name: Name in a specification.
            files: Sources of the specification, which a user's own code is imported from.

        Raises:
            ValueError: There is no such entry, or its package or file is broken.
        """
        code_name = self.code_name(name)
        if code_name is not None:
            factories = importlib.import_module("workers.own_code.factories")  # imports torch
            own: Callable[..., Any] = getattr(factories, f"{self.kind}_factory")(code_name, files)
            return own
        target = self.entry(name).target
        module, _, attribute = target.partition(":")
        try:
            factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{self.kind} {name} cannot be loaded from {target}: {error}"
            ) from error
        return factory


def _code_entry(name: CodeName) -> CatalogEntry:
    """The entry of a user's own code; facts about it are unknown."""
    source = name.file or f"the module {name.module}"
    return CatalogEntry(str(name), name.attribute, str(name), f"From {source}.", {})


@cache
def _plugins(group: str) -> dict[str, CatalogEntry]:
    """Entries of installed packages."""
    return {
        point.name: CatalogEntry(
            point.name,
            point.name,
            point.value,
            f"From {point.dist.name}." if point.dist else "",
            {},
        )
        for point in entry_points(group=group)
    }


def _optimizer(
    name: str, title: str, summary: str, evaluations: int, role: LearningRateRole = "step_size"
) -> CatalogEntry:
    facts = {"gradient_evaluations_per_step": evaluations, "learning_rate_role": role}
    return CatalogEntry(
        name, title, f"workers.optimizers:build_{name.replace('-', '_')}", summary, facts
    )


optimizers = Catalog(
    "optimizer",
    [
        _optimizer(
            "sa-sam",
            "SA-SAM",
            "Smoothness-adaptive sharpness-aware minimization.",
            3,
            "initial_step_size",
        ),
        _optimizer("sam", "SAM", "Sharpness-aware minimization.", 2),
        _optimizer(
            "sa-sgd", "SA-SGD", "SGD with a smoothness-adaptive step size.", 2, "initial_step_size"
        ),
        _optimizer("msgd", "MSGD", "SGD with momentum.", 1),
        _optimizer("adam", "Adam", "Adam with PyTorch's defaults.", 1),
    ],
)

models = Catalog(
    "model",
    [
        CatalogEntry(
            "cnn-tiny",
            "Tiny CNN",
            "workers.models.cnn:cnn_tiny",
            "Strided convolutions with BatchNorm and one linear layer, for small images.",
            {"kwargs": ("width",)},
        ),
        CatalogEntry(
            "vgg19",
            "VGG-19",
            "workers.models.vgg:vgg19",
            "VGG-19 for CIFAR: 16 convolutions with BatchNorm, one linear layer; 20.0 M weights.",
            {"kwargs": ("width",)},
        ),
        CatalogEntry(
            "vgg11-slim",
            "VGG-11 slim",
            "workers.models.vgg:vgg11_slim",
            "VGG-11 at a quarter of its width, for small machines.",
            {"kwargs": ("width",)},
        ),
        CatalogEntry(
            "vit-small",
            "ViT-Small",
            "workers.models.vit:vit_small",
            "ViT with shifted patch tokenisation and locality self-attention; 9.6 M weights.",
            {"kwargs": ("patch_size", "dim", "depth", "heads", "mlp_dim", "dropout")},
        ),
        CatalogEntry(
            "timm:",
            "timm",
            "workers.models.timm_models:build",
            "Any model of timm, with the keyword arguments of timm.create_model.",
            {},
        ),
    ],
)

datasets = Catalog(
    "dataset",
    [
        CatalogEntry(
            "digits",
            "Digits",
            "workers.datasets:load_dataset",
            "1,797 hand-written digits of 8x8 pixels, shipped with scikit-learn.",
            {"classes": 10, "train_images": 1297, "image_size": 8},
        ),
        CatalogEntry(
            "cifar10",
            "CIFAR-10",
            "workers.datasets:load_dataset",
            "60,000 colour images of 32x32 pixels in 10 classes.",
            {"classes": 10, "train_images": 50_000, "image_size": 32},
        ),
        CatalogEntry(
            "cifar100",
            "CIFAR-100",
            "workers.datasets:load_dataset",
            "60,000 colour images of 32x32 pixels in 100 classes.",
            {"classes": 100, "train_images": 50_000, "image_size": 32},
        ),
        CatalogEntry(
            "image-folder",
            "Image folder",
            "workers.datasets:load_dataset",
            "Any folder with train/ and test/, one folder of images per class in each.",
            {},
        ),
    ],
)
