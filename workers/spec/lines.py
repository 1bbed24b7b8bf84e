"""Lines of problems in the text of a specification."""

from __future__ import annotations

import re

import yaml

from workers.spec.errors import SpecProblem
from workers.spec.parsing import compose

__all__ = ["line_of"]

_STATED = re.compile(r"line ([0-9]+)[, ]")
_INDEX = re.compile(r"\[([0-9]+)\][.]?")


def line_of(text: str, problem: SpecProblem) -> int | None:
    """The line of a problem, from 1; None if its place is not in the text.

    The line of the nearest enclosing value, if the text does not have the value itself.

    Args:
        text: YAML or JSON.
        problem: One of its problems.
    """
    if not problem.path:
        stated = _STATED.match(problem.message)
        return int(stated[1]) if stated else None
    node, rest, line = compose(text), problem.path, None
    while node is not None and rest:
        found = _child(node, rest)
        if found is None:
            break
        node, rest, mark = found
        line = mark.line + 1
    return line


def _child(node: yaml.Node, path: str) -> tuple[yaml.Node, str, yaml.Mark] | None:
    """The value that a path begins with, the rest of the path, and the start of key or value."""
    if isinstance(node, yaml.SequenceNode):
        index = _INDEX.match(path)
        if index is None or int(index[1]) >= len(node.value):
            return None
        value = node.value[int(index[1])]
        return value, path[index.end() :], value.start_mark
    if isinstance(node, yaml.MappingNode):
        # A key such as training.batch_size has dots itself: the longest that fits is meant.
        pairs = [
            (key, value)
            for key, value in node.value
            if re.match(rf"{re.escape(str(key.value))}(?=[.\[]|\Z)", path)
        ]
        if pairs:
            key, value = max(pairs, key=lambda pair: len(pair[0].value))
            return value, path[len(key.value) :].removeprefix("."), key.start_mark
    return None
