"""Optimizers of torch, timm and pytorch-optimizer by the names of their libraries.

    torch:RMSprop              a class of torch.optim
    timm:lion                  a name of timm.optim.list_optimizers()
    pytorch-optimizer:AdaBelief   a class of the package pytorch-optimizer

The constructor gets all parameters of the network, the learning rate, the weight decay and the
specification's ``kwargs``, which are checked against its signature: a few constructors would ignore
an unknown keyword.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from workers.parameter_groups import parameter_groups
from workers.spec.optimizers import OptimizerSpec
from workers.spec.stepping_optimizers import FamilyOptimizer

__all__ = [
    "build_pytorch_optimizer",
    "build_timm",
    "build_torch",
    "constructor_of",
    "constructor_of_section",
    "default_configuration",
    "import_library",
    "member_names",
    "options_of",
]

Constructor = Callable[..., Optimizer]

_GIVEN = ("params", "lr", "weight_decay", "model")
"""Arguments that the learning rate, the weight decay and the network give."""
_SECOND_ORDER = ("AdaHessian", "SophiaH")
"""Classes of pytorch-optimizer that differentiate gradients and do not say so by an attribute."""
_MODULES = {
    "torch": "torch.optim",
    "timm": "timm.optim",
    "pytorch-optimizer": "pytorch_optimizer",
}


def build_torch(member: str, model: nn.Module, **options: Any) -> Optimizer:
    """Build an optimizer of torch.optim; see `_build`."""
    return _build("torch", member, model, **options)


def build_timm(member: str, model: nn.Module, **options: Any) -> Optimizer:
    """Build an optimizer of timm.optim; see `_build`."""
    return _build("timm", member, model, **options)


def build_pytorch_optimizer(member: str, model: nn.Module, **options: Any) -> Optimizer:
    """Build an optimizer of pytorch-optimizer; see `_build`."""
    return _build("pytorch-optimizer", member, model, **options)


def member_names(family: str) -> list[str]:
    """Names of the optimizers of a family, without those that need another package or a GPU.

    Raises:
        ValueError: The library is not installed.
    """
    if family == "timm":
        listed: list[str] = import_library(_MODULES[family]).list_optimizers()
        return [name for name in listed if not name.startswith(("bnb", "fused"))]
    module = _MODULES[family]
    return sorted(
        name
        for name, value in vars(import_library(module)).items()
        if inspect.isclass(value)
        and issubclass(value, Optimizer)
        and value is not Optimizer
        and value.__module__.startswith(module)
        and not value.__module__.startswith("pytorch_optimizer.base.")
    )


def constructor_of(family: str, member: str) -> Constructor:
    """The constructor of an optimizer.

    Raises:
        ValueError: The library is not installed, or has no such optimizer; the message has the
            nearest names.
    """
    names = member_names(family)
    if member not in names:
        lowered = {name.lower(): name for name in names}
        near = difflib.get_close_matches(member.lower(), lowered, n=3)
        guess = f"; did you mean {', '.join(lowered[name] for name in near)}?" if near else ""
        raise ValueError(f"{family} has no optimizer {member!r}{guess}")
    if family == "timm":
        library = import_library(_MODULES[family])
        constructor: Constructor = library.get_optimizer_class(member)
        if library.get_optimizer_info(member).has_momentum:  # as timm.optim.create_optimizer_v2
            constructor = partial(constructor, momentum=0.9)
        return constructor
    chosen: Constructor = getattr(import_library(_MODULES[family]), member)
    return chosen


def constructor_of_section(section: OptimizerSpec) -> Constructor | None:
    """The constructor of a member of a family; None for another optimizer."""
    if not isinstance(section, FamilyOptimizer):
        return None
    family, _, member = section.name.partition(":")
    return constructor_of(family, member)


def options_of(constructor: Constructor) -> dict[str, Any]:
    """Options that a specification can give an optimizer, with their defaults.

    An option without a default has ``inspect.Parameter.empty``.
    """
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(constructor).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in _GIVEN
    }


def default_configuration(constructor: Constructor) -> tuple[float | None, float | None]:
    """Default learning rate and weight decay of a constructor; None for one that it lacks."""
    found = inspect.signature(constructor).parameters
    defaults = (found[name].default if name in found else None for name in ("lr", "weight_decay"))
    rate, decay = (value if isinstance(value, int | float) else None for value in defaults)
    return rate, decay


def _build(
    family: str,
    member: str,
    model: nn.Module,
    *,
    lr: float | None = None,
    weight_decay: float | None = None,
    exempt_vectors: bool = False,
    **kwargs: Any,
) -> Optimizer:
    """Build an optimizer of a library.

    Args:
        family: Name of the family.
        member: Name of the optimizer in it.
        model: The network.
        lr: Learning rate; None for the constructor's default.
        weight_decay: Weight decay, 0 if the optimizer has none; None for the constructor's default.
        exempt_vectors: Leave biases and normalisation layers out of the weight decay.
        kwargs: Keyword arguments of the constructor.

    Raises:
        ValueError: There is no such optimizer, or it refuses an option or the network.
    """
    constructor = constructor_of(family, member)
    name = f"{family}:{member}"
    _require_known(name, kwargs, options_of(constructor))
    parameters = inspect.signature(constructor).parameters
    if "lr" not in parameters:
        raise ValueError(f"{name} has no learning rate: its constructor takes no lr")
    if "weight_decay" not in parameters:
        if weight_decay or exempt_vectors:
            raise ValueError(f"{name} has no weight decay: it must be 0, got {weight_decay}")
        weight_decay = None
    chosen = {"lr": lr, "weight_decay": weight_decay}
    given: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    if "model" in parameters:
        given["model"] = model
    groups = parameter_groups(list(model.parameters()), exempt_vectors=exempt_vectors)
    positional = [] if next(iter(parameters)) == "model" else [groups]  # LOMO takes the model alone
    tuples = {key: tuple(v) if isinstance(v, list) else v for key, v in kwargs.items()}
    try:
        optimizer = constructor(*positional, **given, **tuples)
    except Exception as error:  # a constructor of any library can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        options = f" with {kwargs}" if kwargs else ""
        raise ValueError(f"{name} cannot be built{options}: {reason}") from error
    if family == "pytorch-optimizer" and member in _SECOND_ORDER:
        optimizer.is_second_order = True  # type: ignore[attr-defined]  # timm's convention
    return optimizer


def _require_known(name: str, kwargs: Iterable[str], known: dict[str, Any]) -> None:
    """Refuse unknown and missing options."""
    for key in kwargs:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{name} takes no {key!r}{guess} (known: {', '.join(known)})")
    missing = [k for k, v in known.items() if v is inspect.Parameter.empty and k not in kwargs]
    if missing:
        hint = ""
        if "base_optimizer" in missing or "optimizer" in missing:
            hint = (
                "; it wraps another optimizer: see base of sam, asam, gsam, friendly-sam, looksam"
            )
        raise ValueError(f"{name} needs {', '.join(missing)} in kwargs{hint}")


def import_library(module: str) -> Any:
    """Import a library of optimizers.

    Raises:
        ValueError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{module} is not installed: pip install 'sasam[workers]' ({error})"
        ) from error
