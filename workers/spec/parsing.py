"""Parsing of specifications: YAML and JSON as plain data."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import yaml

from workers.spec.errors import SpecError, SpecProblem, cut, shorten

__all__ = ["compose", "parse_spec"]

_MAX_TEXT_CHARACTERS = 200_000
"""Characters; the longest preset has 700, and a page of YAML takes a second from here on."""
_MAX_DEPTH = 50
_MAX_DIGITS = 4_000
"""Digits of a whole number: Python refuses to convert more than 4,300; 16 are allowed."""


def parse_spec(text: str) -> Any:
    """Read YAML or JSON as plain data.

    Raises:
        SpecError: The text is neither.
    """
    if len(text) > _MAX_TEXT_CHARACTERS:
        message = f"must have at most {_MAX_TEXT_CHARACTERS:,} characters"
        raise SpecError([SpecProblem("", message, f"{len(text):,}")])
    try:
        if text.lstrip().startswith("{"):
            return _parse_json(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise SpecError([SpecProblem("", "is nested too deeply", shorten(text))]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        lines = text.splitlines()
        got = lines[mark.line] if mark and mark.line < len(lines) else text
        message = f"{place}neither YAML nor JSON: {what}"
        raise SpecError([SpecProblem("", message, shorten(got))]) from None


def compose(text: str) -> yaml.Node | None:
    """The nodes of YAML or JSON text with their places; None if it is neither."""
    try:
        node: yaml.Node | None = _Loader(text[:_MAX_TEXT_CHARACTERS]).get_single_node()
    except (RecursionError, yaml.YAMLError, ValueError):
        return None
    return node


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2's JSON schema; no repeated keys, aliases or tags.

    ``1e-4`` is a float; ``on``, ``010`` and ``2026-11-25`` are text, not true, eight and a date.
    Aliases are refused because a few of them can describe a huge structure, and tags because they
    create values that no section accepts, such as bytes and sets.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own interface

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no types
        problem = "aliases are not allowed" if isinstance(event, yaml.AliasEvent) else ""
        if getattr(event, "tag", None) is not None:
            tag = cut(event.tag.replace("tag:yaml.org,2002:", "!!"))
            problem = f"tags such as {tag} are not allowed; write text in quotes"
        if self._depth == _MAX_DEPTH:
            problem = f"more than {_MAX_DEPTH} levels"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be text"
            elif key.value in seen:
                problem = f"the key {cut(repr(key.value))} stands twice"
            else:
                seen.add(key.value)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number; one too long to convert is refused with its position."""
        try:
            return _integer(node.value)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, str(error), node.start_mark
            ) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)

for _tag, _pattern, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)|[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)"
        r"|[-+]?\.inf|\.nan",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def _parse_json(text: str) -> Any:
    """Read JSON; text that only looks like JSON may be YAML."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeated_keys, parse_int=_integer)
    except json.JSONDecodeError:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; by default the last of repeated keys would win silently."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        (repeated, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {cut(repr(repeated))} stands twice")
    return mapping


def _integer(text: str) -> int:
    """Parse a whole number.

    Raises:
        ValueError: It has too many digits.
    """
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text):,} digits; at most 16 are allowed")
    return int(text)
