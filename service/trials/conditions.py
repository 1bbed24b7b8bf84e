"""Conditions on trials: the value of an axis, written as ``optimizer.momentum=0.9``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from service.problems import InvalidProblem
from workers.spec import Configuration, SweepSpec, Value
from workers.spec.configuration import freeze_value
from workers.spec.plain import LARGEST_INTEGER

__all__ = ["parse_conditions"]


def parse_conditions(
    texts: Iterable[str], specification: SweepSpec, known: Mapping[str, Value] | None = None
) -> Configuration:
    """The values of axes that trials must have.

    Args:
        texts: Conditions, each with a value as JSON or as plain text.
        specification: The sweep; a value that is equal to one of its values is taken as that.
        known: Further conditions by the name of the axis.

    Raises:
        InvalidProblem: A condition is malformed, or the sweep has no such axis.
    """
    axes = [
        (name, axis)
        for label in specification.labels
        for name, axis in specification.axes(label).items()
    ]
    found: dict[str, Value] = dict(known or {})
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidProblem(
                f"at must be axis=value, such as learning_rate=0.1, not {text[:80]!r}",
                code="invalid-condition",
            )
        found[name] = _parse(value)
    known_names = dict(axes)
    for name in found:
        if name not in known_names:
            raise InvalidProblem(
                f"unknown axis {name[:80]!r} (this sweep has: {', '.join(known_names) or 'none'})",
                code="unknown-axis",
            )
    choices = {
        (name, value): value for name, axis in axes if isinstance(axis, tuple) for value in axis
    }
    return Configuration((name, choices.get((name, value), value)) for name, value in found.items())


def _parse(text: str) -> Value:
    """A value as JSON, or else plain text."""
    try:
        value = freeze_value(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return text
    is_huge = isinstance(value, int) and abs(value) > LARGEST_INTEGER
    return text if is_huge else value
