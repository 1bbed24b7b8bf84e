"""Optimizers of a library and the keyword arguments of their constructors, without importing it.

The service has no torch, and must refuse a misspelt name or keyword before it stores a sweep. So
the sources of the library, where it is installed, are parsed instead of imported; where it is not,
nothing is known, and the driver checks names and keywords against the library itself.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["FAMILIES", "known_members", "known_options"]

FAMILIES = {
    "torch": ("torch", "optim"),
    "timm": ("timm", "optim"),
    "pytorch-optimizer": ("pytorch_optimizer", "optimizer"),
}
"""Package and folder of the optimizers of each family."""

_CLASS = re.compile(r"^class (\w+)\(([^)]*)\)\s*:", re.MULTILINE)
_ROOTS = {"Optimizer", "BaseOptimizer"}
_GIVEN = {"self", "params", "lr", "weight_decay", "model"}
"""Arguments that are no options: the learning rate, the weight decay and the network give them."""


def known_members(family: str) -> tuple[str, ...] | None:
    """Names of the optimizers of a family, sorted; None if its library is not installed here."""
    classes = _classes(family)
    if not classes:
        return None
    if family == "timm":
        listed = _registered()
        return tuple(sorted(name for name in listed if not name.startswith(("bnb", "fused"))))
    found = (name for name in classes if _is_optimizer(name, classes))
    return tuple(sorted(name for name in found if not name.endswith("Base")))


def known_options(family: str, member: str) -> tuple[str, ...] | None:
    """Options of an optimizer's constructor in order; None if they cannot be read here."""
    name = _registered().get(member) if family == "timm" else member
    for place in (family, "torch"):  # timm lists some optimizers of torch
        classes = _classes(place)
        while name in classes:
            path, bases = classes[name]
            arguments = _constructor_arguments(path, name)
            if arguments is not None:
                return tuple(argument for argument in arguments if argument not in _GIVEN)
            name = next((base for base in bases if base in classes), None)
    return None


@cache
def _classes(family: str) -> dict[str, tuple[Path, tuple[str, ...]]]:
    """File and base classes of every public class in the folder of a family; empty without it."""
    return {
        name: (path, tuple(base.strip().rpartition(".")[2] for base in bases.split(",")))
        for path in _sources(family)
        for name, bases in _CLASS.findall(path.read_text(encoding="utf-8"))
        if not name.startswith("_")
    }


def _sources(family: str) -> list[Path]:
    """Files of a family; none if its library is not installed here."""
    package, folder = FAMILIES[family]
    found = find_spec(package)
    places = [] if found is None else found.submodule_search_locations or []
    return [path for place in places for path in sorted(Path(place, folder).rglob("*.py"))]


def _is_optimizer(name: str, classes: dict[str, tuple[Path, tuple[str, ...]]]) -> bool:
    """Whether a class derives from an optimizer."""
    if name not in classes:
        return name in _ROOTS
    return any(base != name and _is_optimizer(base, classes) for base in classes[name][1])


@cache
def _registered() -> dict[str, str]:
    """The class of each name in timm's registry, which ``OptimInfo`` and aliases fill."""
    classes: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for path in _sources("timm"):
        if path.name != "_optim_factory.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            values = [value.value for value in node.args if isinstance(value, ast.Constant)]
            name, target = given.get("name"), given.get("opt_class")
            if isinstance(name, ast.Constant) and target is not None:
                classes[str(name.value)] = ast.unparse(target).strip("'").rpartition(".")[2]
            elif getattr(node.func, "attr", None) == "register_alias" and len(values) == 2:
                aliases[str(values[0])] = str(values[1])
    return classes | {alias: classes[name] for alias, name in aliases.items() if name in classes}


@cache
def _constructor_arguments(path: Path, name: str) -> tuple[str, ...] | None:
    """Names of the arguments of a class's own constructor; None if it has none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    arguments = method.args
                    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
                    return tuple(argument.arg for argument in every)
    return None
