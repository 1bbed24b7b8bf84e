"""Factories of a user's own optimizers, models and data sets, called like those of a plug-in.

    optimizer   a torch.optim.Optimizer class (params, lr, weight_decay, **kwargs),
                or a function (model, lr, weight_decay, **kwargs)
    model       a class or function (num_classes, in_channels, image_size, **kwargs)
    dataset     a function (data_dir, **kwargs)

An optimizer need not take ``weight_decay``, and a model or data set takes any of its arguments.
Errors of the code are a `CodeError` with the line of the user's file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from workers.own_code.errors import CodeError
from workers.own_code.loading import load_code, raised_in
from workers.own_code.names import CodeName

__all__ = ["dataset_factory", "model_factory", "optimizer_factory"]

T = TypeVar("T")

_OURS = ("workers.", "sasam.")


def optimizer_factory(name: CodeName, files: Mapping[str, str]) -> Callable[..., Optimizer]:
    """A factory that takes the network, ``lr``, ``weight_decay`` and the options.

    Raises:
        CodeError: The code cannot be imported, or is neither a class of optimizers nor a function.
    """
    code = load_code(name, files)
    is_class = isinstance(code, type)
    if not callable(code) or (is_class and not issubclass(code, Optimizer)):
        raise CodeError(
            f"{name.attribute} is {_kind(code)}, no optimizer: must be a subclass of "
            "torch.optim.Optimizer or a function (model, lr, weight_decay) that returns one"
        )

    def build(model: nn.Module, **options: Any) -> Optimizer:
        if "weight_decay" in options and not _takes(code, "weight_decay"):
            weight_decay = options.pop("weight_decay")
            if weight_decay:
                raise CodeError(
                    f"{name.attribute} takes no weight_decay: must be 0, got {weight_decay:g}"
                )
        made = _call(code, model.parameters() if is_class else model, **options)
        return _require(made, Optimizer, name)

    return build


_FACTS = ("num_classes", "in_channels", "image_size", "context")
"""Arguments of a model that depend on the data."""


def model_factory(name: CodeName, files: Mapping[str, str]) -> Callable[..., nn.Module]:
    """A factory that takes what depends on the data, and the options.

    That is ``num_classes``, ``in_channels`` and ``image_size`` for images, ``num_classes`` and
    ``context`` for text.

    Raises:
        CodeError: The code cannot be imported, or is no class or function.
    """
    code = _callable(name, files, "(num_classes, in_channels, image_size)")

    def build(**given: Any) -> nn.Module:
        facts = {fact: given.pop(fact) for fact in _FACTS if fact in given}
        return _require(_call(code, **_accepted(code, facts, given)), nn.Module, name)

    return build


def dataset_factory(name: CodeName, files: Mapping[str, str]) -> Callable[..., Any]:
    """A factory that takes ``options`` and ``data_dir``.

    Raises:
        CodeError: The code cannot be imported, or is no class or function.
    """
    code = _callable(name, files, "(data_dir)")

    def build(*, options: Mapping[str, Any], data_dir: Path) -> Any:
        return _call(code, **_accepted(code, {"data_dir": data_dir}, options))

    return build


def _callable(name: CodeName, files: Mapping[str, str], form: str) -> Callable[..., Any]:
    """Import a class or function."""
    code = load_code(name, files)
    if not callable(code):
        raise CodeError(f"{name.attribute} is {_kind(code)}: must be a class or function {form}")
    return code  # type: ignore[no-any-return]  # `callable` narrows Any to no signature


def _accepted(
    code: Callable[..., Any], facts: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The facts that the code takes and the options does not give, and all options."""
    return {name: fact for name, fact in facts.items() if _takes(code, name)} | dict(options)


def _takes(code: Callable[..., Any], argument: str) -> bool:
    """Whether a call takes an argument by keyword."""
    try:
        parameters = inspect.signature(code).parameters
    except (TypeError, ValueError):  # a builtin, which has no signature
        return True
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(
        p.kind is p.VAR_KEYWORD or (name == argument and p.kind in by_keyword)
        for name, p in parameters.items()
    )


def _call(code: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call the code; its errors have the line of the user's file.

    Raises:
        CodeError: The code raises an exception, other than for lack of memory.
    """
    try:
        return code(*arguments, **keywords)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        if type(error).__module__.startswith(_OURS):
            raise
        raise CodeError(raised_in(error)) from error


def _require(made: Any, kind: type[T], name: CodeName) -> T:
    """Check the type of what the code returned."""
    if not isinstance(made, kind):
        raise CodeError(f"{name.attribute} returns {_kind(made)}: must return a {_title(kind)}")
    return made


def _kind(value: object) -> str:
    """The type of a value, for a message."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _title(kind: type) -> str:
    return {Optimizer: "torch.optim.Optimizer", nn.Module: "torch.nn.Module"}[kind]
