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

__all__ = [
    "Catalog",
    "CatalogEntry",
    "LearningRateRole",
    "WeightDecayKind",
    "datasets",
    "models",
    "optimizers",
]

LearningRateRole = Literal["step_size", "initial_step_size", "multiplier"]
"""What the learning rate is: the size of every step, of the first one, or a factor of step sizes
that the optimizer estimates, to be searched around 1."""

WeightDecayKind = Literal["coupled", "decoupled", "exempting"]
"""``coupled``: lambda * w is added to the gradient. ``decoupled``: the weights shrink on their own
(Loshchilov & Hutter 2019). ``exempting``: biases and normalisation layers are left out."""


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

    def facts(self, name: str) -> Mapping[str, Any]:
        """Facts of ``name``; for a member of a family those of the family and its own."""
        facts = dict(self.entry(name).facts)
        members = facts.pop("members", {})
        return facts | dict(members.get(name.partition(":")[2], {}))

    def known_facts(self, name: str) -> Mapping[str, Any]:
        """Facts of ``name``; none if it is unknown, such as of a package not installed here."""
        try:
            return self.facts(name)
        except ValueError:
            return {}

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
    name: str,
    title: str,
    summary: str,
    *,
    evaluations: float = 1,
    role: LearningRateRole = "step_size",
    decay: WeightDecayKind = "coupled",
    default: tuple[float, float] = (1e-3, 0.0),
) -> CatalogEntry:
    """A built-in optimizer.

    Args:
        name: Its name in a specification.
        title: Its name in tables and figures.
        summary: One sentence.
        evaluations: Gradient evaluations per step, with its default options.
        role: Role of its learning rate.
        decay: Kind of its weight decay, with its default options.
        default: Learning rate and weight decay without tuning: the defaults of its constructor.
    """
    facts = {
        "gradient_evaluations_per_step": evaluations,
        "learning_rate_role": role,
        "weight_decay": decay,
        "default_learning_rate": default[0],
        "default_weight_decay": default[1],
    }
    return CatalogEntry(
        name, title, f"workers.optimizers:build_{name.replace('-', '_')}", summary, facts
    )


def _optimizer_family(
    name: str, library: str, members: Mapping[str, Mapping[str, Any]]
) -> CatalogEntry:
    """The optimizers of a library, with facts of those that differ from the others."""
    return CatalogEntry(
        f"{name}:",
        name,
        f"workers.optimizer_families:build_{name.replace('-', '_')}",
        f"Any optimizer of {library}, with the keyword arguments of its constructor.",
        {
            "gradient_evaluations_per_step": 1,
            "learning_rate_role": "step_size",
            "members": members,
        },
    )


_MULTIPLIER = {"learning_rate_role": "multiplier"}
_LINE_SEARCH = {"gradient_evaluations_per_step": 20}  # max_iter of L-BFGS

optimizers = Catalog(
    "optimizer",
    [
        _optimizer(
            "sa-sam",
            "SA-SAM",
            "Smoothness-adaptive sharpness-aware minimization.",
            evaluations=3,
            role="initial_step_size",
            default=(1e-4, 0.0),  # small, as it adapts (Malitsky & Mishchenko 2020)
        ),
        _optimizer("sam", "SAM", "Sharpness-aware minimization.", evaluations=2),
        _optimizer(
            "sa-sgd",
            "SA-SGD",
            "SGD with a smoothness-adaptive step size.",
            evaluations=2,
            role="initial_step_size",
            default=(1e-4, 0.0),
        ),
        _optimizer("msgd", "MSGD", "SGD with momentum."),
        _optimizer("adam", "Adam", "Adam with PyTorch's defaults."),
        _optimizer(
            "adamw",
            "AdamW",
            "Adam with decoupled weight decay.",
            decay="decoupled",
            default=(1e-3, 1e-2),
        ),
        _optimizer(
            "nadamw",
            "NAdamW",
            "AdamW with Nesterov's momentum, as in AlgoPerf.",
            decay="decoupled",
            default=(1e-3, 1e-2),
        ),
        _optimizer(
            "muon",
            "Muon",
            "Orthogonalised momentum for hidden matrices and kernels, AdamW for the rest.",
            decay="decoupled",
            default=(2e-2, 0.0),
        ),
        _optimizer(
            "lion",
            "Lion",
            "Sign of an interpolated momentum.",
            decay="decoupled",
            default=(1e-4, 0.0),
        ),
        _optimizer(
            "soap",
            "SOAP",
            "Adam in the eigenbasis of Shampoo's preconditioner.",
            decay="decoupled",
            default=(3e-3, 1e-2),
        ),
        _optimizer(
            "schedule-free-adamw",
            "Schedule-Free AdamW",
            "AdamW with averaged weights instead of a schedule.",
            decay="decoupled",
            default=(2.5e-3, 0.0),
        ),
        _optimizer(
            "schedule-free-sgd",
            "Schedule-Free SGD",
            "SGD with averaged weights instead of a schedule.",
            default=(1.0, 0.0),
        ),
        _optimizer(
            "prodigy",
            "Prodigy",
            "Adam whose step size is estimated from the distance travelled.",
            role="multiplier",
            decay="decoupled",
            default=(1.0, 0.0),
        ),
        _optimizer(
            "asam",
            "ASAM",
            "SAM with a perturbation in proportion to each weight.",
            evaluations=2,
        ),
        _optimizer(
            "gsam",
            "GSAM",
            "SAM that also reduces the gap between the perturbed loss and the loss.",
            evaluations=2,
        ),
        _optimizer(
            "friendly-sam",
            "Friendly-SAM",
            "SAM along the noise of the mini-batch's gradient.",
            evaluations=2,
        ),
        _optimizer(
            "looksam",
            "LookSAM",
            "SAM that perturbs in every fifth step and reuses the direction in between.",
            evaluations=1.2,
        ),
        _optimizer(
            "sam-on",
            "SAM-ON",
            "SAM that perturbs the normalisation layers alone.",
            evaluations=2,
        ),
        _optimizer_family("torch", "torch.optim", {"LBFGS": _LINE_SEARCH}),
        _optimizer_family("timm", "timm.optim", {}),
        _optimizer_family(
            "pytorch-optimizer",
            "the package pytorch-optimizer",
            {
                "DAdaptAdaGrad": _MULTIPLIER,
                "DAdaptAdam": _MULTIPLIER,
                "DAdaptAdan": _MULTIPLIER,
                "DAdaptLion": _MULTIPLIER,
                "DAdaptSGD": _MULTIPLIER,
                "Prodigy": _MULTIPLIER,
            },
        ),
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
