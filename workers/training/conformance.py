"""Conformance check: whether an optimizer that is not built in trains, and resumes bit for bit.

    two steps on a mini-batch of the sweep's network, as a trial makes them
    a copy made from the saved state after the first step repeats the second one
    weights, buffers and state of both must be equal bit by bit

It also measures what a catalog entry states: gradient evaluations per step, the kind of weight
decay, and the defaults of the constructor.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from workers.catalog import WeightDecayKind, optimizers
from workers.optimizer_families import constructor_of_section, default_configuration
from workers.optimizers import build_from_section
from workers.spec.optimizers import OptimizerSpec
from workers.training.steps import Stepper
from workers.training.weight_decay import measure_weight_decay

__all__ = ["Conformance", "check_conformance", "needs_check", "stated_conformance"]

_MAX_STEPS = 20
"""Steps in which the weights must change; RAdam, for instance, begins with some that do not."""
_MAX_REASON_CHARACTERS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """What the check of an optimizer found.

    Args:
        gradient_evaluations: Gradient evaluations per step, the mean of two steps.
        weight_decay: Kind of the weight decay; None if two steps show none.
        default_learning_rate: The constructor's; None if it has none or is unknown.
        default_weight_decay: Likewise.
    """

    gradient_evaluations: float
    weight_decay: WeightDecayKind | None
    default_learning_rate: float | None = None
    default_weight_decay: float | None = None

    def __str__(self) -> str:
        """One line for a terminal."""
        count = f"{self.gradient_evaluations:g} gradient evaluation"
        unknown = "no" if self.default_weight_decay is None else "unknown kind of"
        parts = [
            f"{count}{'s' * (self.gradient_evaluations != 1)} per step",
            f"{self.weight_decay or unknown} weight decay",
            "resumes bit for bit",
        ]
        if self.default_learning_rate is not None:
            parts.append(f"default learning rate {self.default_learning_rate:g}")
        if self.default_weight_decay is not None:
            parts.append(f"default weight decay {self.default_weight_decay:g}")
        return ", ".join(parts)


def needs_check(section: OptimizerSpec) -> bool:
    """Whether an optimizer, or the one that it wraps, is not built in."""
    base = getattr(section, "base", None)
    return not section.is_built_in or (base is not None and not base.is_built_in)


def stated_conformance(section: OptimizerSpec) -> Conformance:
    """What the catalog states about a built-in optimizer, which tests hold."""
    stepping = optimizers.facts((getattr(section, "base", None) or section).name)
    return Conformance(
        gradient_evaluations=section.gradient_evaluations_per_step or 1.0,
        weight_decay=section.weight_decay_kind,
        default_learning_rate=stepping["default_learning_rate"],
        default_weight_decay=stepping["default_weight_decay"],
    )


def check_conformance(
    section: OptimizerSpec,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    lr: float | None,
    weight_decay: float | None,
    files: Mapping[str, str] = MappingProxyType({}),
    precision: torch.dtype | None = None,
    label_smoothing: float = 0.0,
    gradient_clipping: float | None = None,
) -> Conformance:
    """Take two steps, restore the state after the first, and repeat the second.

    Args:
        section: Name and options of the optimizer.
        model: The network; it is copied.
        images: A mini-batch, shape (n, channels, height, width).
        labels: Its classes, shape (n,).
        lr: Learning rate; None for the optimizer's default.
        weight_decay: Weight decay; None for the optimizer's default.
        files: Sources of the specification, for an optimizer of the user's own.
        precision: Data type of the forward pass; None for that of the weights.
        label_smoothing: As `TrainingSpec.label_smoothing`.
        gradient_clipping: As `TrainingSpec.gradient_clipping`.

    Raises:
        ValueError: The optimizer cannot be used, with the reason in one line.
    """

    def start() -> tuple[nn.Module, Stepper]:
        network = copy.deepcopy(model).train()

        def predict(batch: Tensor) -> Tensor:
            with torch.autocast(batch.device.type, dtype=precision, enabled=precision is not None):
                logits: Tensor = network(batch)
            return logits

        stepper = Stepper(
            build_from_section(section, network, lr=lr, weight_decay=weight_decay, files=files),
            network,
            predict,
            label_smoothing=label_smoothing,
            gradient_clipping=gradient_clipping,
            scale_gradients=precision == torch.float16,
        )
        return network, stepper

    def step(stepper: Stepper, number: int) -> None:
        torch.manual_seed(number)
        stepper.train()
        stepper.step(images.roll(number, 0), labels.roll(number, 0), factor=1.0)
        stepper.eval()

    with torch.random.fork_rng(devices=[]):
        network, stepper = start()
        try:
            step(stepper, 0)
            saved = copy.deepcopy((network.state_dict(), stepper.state_dict()))
            step(stepper, 1)
        except Exception as error:  # the optimizer may be of any library
            hint = "; training.channels_last: false may help" if "view size" in str(error) else ""
            raise ValueError(
                f"{section.name} cannot train this network: {_line(error)}{hint}"
            ) from error
        _require_finite(section.name, network)
        other, resumed = start()
        try:
            other.load_state_dict(saved[0])
            resumed.load_state_dict(saved[1])
            step(resumed, 1)
        except Exception as error:  # the optimizer may be of any library
            raise ValueError(f"{section.name} cannot be resumed: {_line(error)}") from error
        _require_equal(section.name, (network, stepper), (other, resumed))
        evaluations = stepper.gradient_evaluations / 2
        further = iter(range(2, _MAX_STEPS))
        while _is_unchanged(model, network) and (number := next(further, None)) is not None:
            step(stepper, number)
        if _is_unchanged(model, network):
            raise ValueError(f"{section.name} does not change the weights in {_MAX_STEPS} steps")
        decay = section.weight_decay_kind or measure_weight_decay(section, model, files)
    rate, default_decay = _defaults(section)
    return Conformance(
        gradient_evaluations=evaluations,
        weight_decay=decay,
        default_learning_rate=rate,
        default_weight_decay=default_decay,
    )


def _is_unchanged(before: nn.Module, after: nn.Module) -> bool:
    """Whether all weights of two networks are equal."""
    return all(map(torch.equal, before.parameters(), after.parameters()))


def _require_finite(name: str, model: nn.Module) -> None:
    """Refuse steps that made a weight infinite or NaN."""
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise ValueError(f"{name} makes weights infinite or NaN in two steps")


def _require_equal(
    name: str, first: tuple[nn.Module, Stepper], second: tuple[nn.Module, Stepper]
) -> None:
    """Refuse a resumed run that differs from the undisturbed one."""
    for what, a, b in (
        ("weights", first[0].state_dict(), second[0].state_dict()),
        ("state", first[1].state_dict(), second[1].state_dict()),
    ):
        if not _is_equal(a, b):
            raise ValueError(
                f"{name} does not resume bit for bit: after a restored state_dict, a step leads to "
                f"other {what}"
            )


def _is_equal(a: Any, b: Any) -> bool:
    """Whether nested values are equal, tensors bit by bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_is_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_is_equal, a, b))
    if isinstance(a, int | float | str | bool | type(None)):
        return bool(a == b) or (a != a and b != b)  # NaN is equal to NaN here
    return type(a) is type(b)  # an object of a library, which its state_dict shares


def _defaults(section: OptimizerSpec) -> tuple[float | None, float | None]:
    """Default learning rate and weight decay of the constructor."""
    constructor = constructor_of_section(getattr(section, "base", None) or section)
    return (None, None) if constructor is None else default_configuration(constructor)


def _line(error: Exception) -> str:
    """An error in one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:_MAX_REASON_CHARACTERS]
