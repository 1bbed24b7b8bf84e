"""Built-in optimizers and families of optimizers, with the facts that results need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .catalog import Catalog, CatalogEntry

__all__ = ["LearningRateRole", "WeightDecayKind", "optimizers"]

LearningRateRole = Literal["step_size", "initial_step_size", "multiplier"]
"""What the learning rate is: the size of every step, of the first one, or a factor of step sizes
that the optimizer estimates, to be searched around 1."""

WeightDecayKind = Literal["coupled", "decoupled", "exempting"]
"""``coupled``: lambda * w is added to the gradient. ``decoupled``: the weights shrink on their own
(Loshchilov & Hutter 2019). ``exempting``: biases and normalisation layers are left out."""


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
