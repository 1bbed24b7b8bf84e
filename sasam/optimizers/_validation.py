"""Validation of parameter groups, their options and the model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sasam.optimizers._groups import Group

__all__ = ["checked_group", "checked_model", "checked_number"]


def checked_group(group: Group, defaults: Group, shared: tuple[str, ...] = ()) -> Group:
    """The group with a list of parameters, or a ValueError that names what is wrong with it."""
    params = group["params"]
    group = {**group, "params": [params] if isinstance(params, Tensor) else list(params)}
    tensors = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
    if not tensors:
        raise ValueError("a parameter group must hold at least one parameter, got none")
    if len(set(tensors)) < len(tensors):
        raise ValueError(
            f"a parameter group must hold each parameter once, got {len(tensors)} entries for "
            f"{len(set(tensors))} parameters"
        )
    for p in tensors:
        if isinstance(p, Tensor):
            _check_parameter(p)
    options = {**defaults, **group}
    checked_number("lr", options["lr"], above=0.0)
    checked_number("weight_decay", options["weight_decay"], least=0.0)
    if "momentum" in defaults:
        checked_number("momentum", options["momentum"], least=0.0, below=1.0)
    if "rho" in defaults and options["rho"] != "sqrt-lr":
        checked_number("rho", options["rho"], least=0.0, otherwise="'sqrt-lr'")
    for name in shared:
        if options[name] != defaults[name]:
            raise ValueError(
                f"{name} must be the same in all parameter groups, got {options[name]!r} in one "
                f"of an optimizer made with {defaults[name]!r}"
            )
    return group


def _check_parameter(p: Tensor) -> None:
    if not p.is_floating_point():
        raise ValueError(
            f"parameters must be real floating-point tensors, got dtype {p.dtype} (shape "
            f"{tuple(p.shape)})"
        )
    if p.layout != torch.strided:
        raise ValueError(f"parameters must be strided tensors, got layout {p.layout}")
    span = 1 + sum((n - 1) * stride for n, stride in zip(p.shape, p.stride(), strict=True))
    if p.numel() and span != p.numel():
        raise ValueError(
            f"parameters must be dense in memory, got strides {p.stride()} for shape "
            f"{tuple(p.shape)}; make a contiguous copy"
        )


def checked_number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    infinite: bool = False,
    otherwise: str = "",
) -> float:
    """The value as a float, or a ValueError that says what is allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        in_range = above < value and least <= value
        if in_range and (value < below or (infinite and value == math.inf)):
            return float(value)
    allowed = " and ".join(_bounds(above, least, below, infinite))
    raise ValueError(
        f"{name} must be {otherwise + ' or ' if otherwise else ''}a number {allowed}, got {value!r}"
    )


def _bounds(above: float, least: float, below: float, infinite: bool) -> Iterator[str]:
    if above > -math.inf:
        yield f"> {above:g}"
    if least > -math.inf:
        yield f">= {least:g}"
    yield (
        f"< {below:g}" if below < math.inf else "that may be inf" if infinite else "that is finite"
    )


def checked_model(model: object) -> nn.Module | None:
    """The model, or a ValueError."""
    if model is None or isinstance(model, nn.Module):
        return model
    raise ValueError(f"model must be a torch.nn.Module or None, got {type(model).__name__}")
