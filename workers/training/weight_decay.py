"""Measurement of the kind of an optimizer's weight decay.

Two runs with the same gradients, one at weight decay lambda, one at 0, are d_t apart after t steps.
Decoupled decay scales the weights: d_1 = -c w_0 and d_2 = (1 - c) d_1 - c w_1, with w of the run
without decay; coupled decay passes through momentum and normalisation. (For SGD without momentum
both are the same, and count as decoupled.) Exempt parameters have d = 0.

Many constructors have an option that chooses; then its value decides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from workers.catalog import WeightDecayKind
from workers.optimizer_families import constructor_of_section, options_of
from workers.optimizers import build_from_section
from workers.spec.optimizers import OptimizerSpec

__all__ = ["measure_weight_decay"]

_RATE = 1e-3
_DECAY = 0.1
"""Weight decay times learning rate: large against rounding, small against 1."""
_TOLERANCE = 0.02
_STEPS = 4
"""Steps of each run; SOAP, for instance, changes nothing in its first one."""
_DECOUPLING = ("weight_decouple", "decoupled_weight_decay", "decoupled_decay", "decoupled")
"""Options by which constructors choose decoupled weight decay."""


def measure_weight_decay(
    section: OptimizerSpec, model: nn.Module, files: Mapping[str, str] = MappingProxyType({})
) -> WeightDecayKind | None:
    """Measure the kind of an optimizer's weight decay.

    Args:
        section: Name and options of the optimizer.
        model: The network; it is copied.
        files: Sources of the specification, for an optimizer of the user's own.

    Returns:
        The kind; None if the steps show none.
    """
    reference = _without_zeros(model)
    try:
        decayed, plain = (
            _trajectories(section, reference, decay, files) for decay in (_DECAY, 0.0)
        )
    except Exception:  # noqa: BLE001 - such as a method of second order, of any library
        return _stated_by_option(section)
    kinds = {
        ("matrix" if path[0].ndim > 1 else "vector", _kind_of(path, plain_path))
        for path, plain_path in zip(decayed, plain, strict=True)
    }
    found = {kind for _, kind in kinds if kind is not None}
    if not found:
        return _stated_by_option(section)
    if ("vector", None) in kinds:
        return "exempting"
    return _stated_by_option(section) or ("decoupled" if found == {"decoupled"} else "coupled")


def _kind_of(path: list[Tensor], plain: list[Tensor]) -> WeightDecayKind | None:
    """Kind of the decay of one parameter, from its values with and without it; None without."""
    differences = [a - b for a, b in zip(path, plain, strict=True)]
    at = next((n for n, d in enumerate(differences[:-1]) if bool(d.any())), None)
    if at is None:
        return None
    first, second = differences[at], differences[at + 1]
    for before in (at - 1, at):  # weights shrink before the update, or after it, as in SOAP
        start, then = plain[before], plain[before + 1]
        share = -torch.sum(first * start) / torch.sum(start * start)
        expected = (1 - share) * first - share * then
        if _is_near(first, -share * start) and _is_near(second, expected):
            return "decoupled"
    return "coupled"


def _is_near(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).norm() <= _TOLERANCE * b.norm())


def _stated_by_option(section: OptimizerSpec) -> WeightDecayKind | None:
    """Kind of the weight decay by an option of the constructor, given or by default."""
    stepping = getattr(section, "base", None) or section
    constructor = constructor_of_section(stepping)
    options = {} if constructor is None else options_of(constructor) | stepping.options()
    for name in _DECOUPLING:
        if isinstance(options.get(name), bool):
            return "decoupled" if options[name] else "coupled"
    return None


def _without_zeros(model: nn.Module) -> nn.Module:
    """A copy without parameters that are all zero, whose decay would not show."""
    network = copy.deepcopy(model).train()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if not bool(parameter.any()):
                parameter.normal_()
    return network


def _trajectories(
    section: OptimizerSpec, model: nn.Module, decay: float, files: Mapping[str, str]
) -> list[list[Tensor]]:
    """Values of each parameter before the first step and after each, with constant gradients."""
    network = copy.deepcopy(model)
    optimizer = build_from_section(
        section, network, lr=_RATE, weight_decay=decay / _RATE, files=files
    )
    parameters = list(network.parameters())
    torch.manual_seed(0)
    gradients = [torch.randn_like(p) for p in parameters]

    def closure() -> Tensor:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        return torch.ones(())

    step: Callable[..., Any] = optimizer.step
    values = [[p.detach().clone() for p in parameters]]
    for _ in range(_STEPS):
        step(closure)
        values.append([p.detach().clone() for p in parameters])
    return [list(path) for path in zip(*values, strict=True)]
