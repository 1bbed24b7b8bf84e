"""Text to specification, with errors that name the place."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from workers.spec.sweep import SweepSpec

__all__ = ["SpecError", "SpecProblem", "load_spec", "parse_spec", "validate_spec"]


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """One thing wrong with a specification.

    Args:
        path: Where, such as ``search.learning_rate[2]``; empty for the whole.
        message: What is wrong and what is allowed.
        value: What was there, as text, shortened.
    """

    path: str
    message: str
    value: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.path or 'specification'}: {self.message} (got {self.value})"

    def as_dict(self) -> dict[str, str]:
        """The problem as plain data."""
        return asdict(self)


class SpecError(ValueError):
    """A specification that cannot be run; ``problems`` says where and why."""

    def __init__(self, problems: list[SpecProblem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


class _Loader(yaml.SafeLoader):
    """Safe YAML with YAML 1.2's numbers (``1e-4`` is a float), no repeated keys, no aliases.

    Aliases are refused because a few of them describe a structure too large to walk.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)$|^[-+]?(\.\d+|\d+\.\d*)$"),
    list("-+.0123456789"),
)


def load_spec(text: str) -> SweepSpec:
    """Read a specification from YAML or JSON (which is YAML).

    Raises:
        SpecError: The text is neither, or the specification is invalid.
    """
    return validate_spec(parse_spec(text))


def parse_spec(text: str) -> Any:
    """Read YAML or JSON as plain data.

    Raises:
        SpecError: The text is neither.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or type(error).__name__
        raise SpecError(
            [SpecProblem("", f"{place}neither YAML nor JSON: {what}", "text")]
        ) from None


def validate_spec(data: Any) -> SweepSpec:
    """Check plain data against the specification.

    Raises:
        SpecError: It does not fit; one problem an error, each with its path.
    """
    if not isinstance(data, dict):
        message = "a specification is a mapping of sections"
        raise SpecError([SpecProblem("", message, _shorten(data))])
    try:
        return SweepSpec.model_validate(data)
    except ValidationError as error:
        problems = [_problem(dict(detail), data) for detail in error.errors(include_url=False)]
        raise SpecError(_without_repeats(problems)) from None


def _problem(detail: dict[str, Any], data: Any) -> SpecProblem:
    """A pydantic error as a path, a message and a value."""
    path, found = _locate(detail["loc"], data)
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "unknown key"
        found = detail["input"]
    elif detail["type"] == "missing":
        message = "missing"
        found = "nothing"
    else:
        found = detail["input"]
    return SpecProblem(path, message, _shorten(found))


def _locate(location: tuple[int | str, ...], data: Any) -> tuple[str, Any]:
    """Path and value of an error; the names pydantic gives to union members are dropped."""
    path, value = "", data
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(part, int) and isinstance(value, list | tuple) and part < len(value):
            path, value = f"{path}[{part}]", value[part]
        elif isinstance(part, str) and isinstance(value, dict) and (part in value or last):
            path, value = f"{path}.{part}" if path else part, value.get(part)
    return path, value


def _without_repeats(problems: list[SpecProblem]) -> list[SpecProblem]:
    """Join the problems of one path; one of a part says more than one of the whole."""
    joined: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        messages = joined.setdefault((problem.path, problem.value), [])
        if problem.message not in messages:
            messages.append(problem.message)
    paths = [path for path, _ in joined]
    return [
        SpecProblem(path, " or ".join(messages), value)
        for (path, value), messages in joined.items()
        if not any(other.startswith((f"{path}[", f"{path}.")) for other in paths if path)
    ]


def _shorten(value: Any) -> str:
    """A value as short text."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
