"""Axes: the hyperparameters that a search varies, each with its values in order.

An axis is named by a dotted path: ``learning_rate``, ``optimizer.momentum``,
``training.batch_size``. Optimizers of one sweep may have different axes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.sensitivity.errors import UnknownNameError
from workers.hyperparameter_text import axis_titles, value_text
from workers.spec.configuration import Value, freeze_value

__all__ = [
    "Axis",
    "Scale",
    "axis_named",
    "configuration_label",
    "merge_axes",
    "ordered",
    "parse_value",
    "value_datum",
]

Scale = Literal["log", "linear", "ordinal"]

_FIRST = ("learning_rate", "weight_decay")


@dataclass(frozen=True, slots=True)
class Axis:
    """One hyperparameter of a search.

    Attributes:
        name: Its dotted path.
        values: Distinct values: numbers rising, others in the order of the specification. Of a
            range those that were tried.
        scale: How values are spaced. "ordinal" values are equally far apart: categories, and listed
            numbers with a 0, which has no logarithm.
        is_range: Whether values are drawn from a range rather than listed.
    """

    name: str
    values: tuple[Value, ...]
    scale: Scale
    is_range: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        values: Iterable[Any],
        *,
        scale: Scale | None = None,
        is_range: bool = False,
    ) -> "Axis":
        """An axis of values in any order, perhaps repeated.

        Args:
            name: Its dotted path.
            values: Listed or tried; JSON, lists among them.
            scale: By default "log" for numbers above 0, else "ordinal".
            is_range: Whether they were drawn from a range.
        """
        distinct = list(dict.fromkeys(map(freeze_value, values)))
        if not all(map(_is_number, distinct)):
            return cls(name, tuple(distinct), "ordinal")
        numbers = sorted(distinct)  # type: ignore[type-var]  # all are numbers
        positive = all(number > 0 for number in numbers)  # type: ignore[operator]
        return cls(name, tuple(numbers), scale or ("log" if positive else "ordinal"), is_range)

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers, which have an order and ends."""
        return all(map(_is_number, self.values))

    def is_on_edge(self, value: Value) -> bool:
        """Whether a value is the smallest or largest of several numbers."""
        ends = (self.values[0], self.values[-1])
        return self.is_numeric and len(self) > 1 and value in ends

    def __len__(self) -> int:
        """Number of values."""
        return len(self.values)


def value_datum(value: Value) -> float | str:
    """A value in the records of a figure: a number, or text."""
    return value if _is_number(value) else value_text(value)  # type: ignore[return-value]


def ordered(names: Iterable[str]) -> list[str]:
    """Distinct names in the order of tables: learning rate, weight decay, the rest as given.

    Scores of equal configurations are selected in this order, so that a specification's order of
    the first two does not matter.
    """
    distinct = dict.fromkeys(names)
    return [
        *(name for name in _FIRST if name in distinct),
        *(n for n in distinct if n not in _FIRST),
    ]


def merge_axes(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """The axes of several optimizers, one per name, with the values of all of them."""
    by_name: dict[str, list[Axis]] = {}
    for axis in axes:
        by_name.setdefault(axis.name, []).append(axis)
    return tuple(_merge(by_name[name]) for name in ordered(by_name))


def axis_named(axes: Sequence[Axis], name: str) -> Axis:
    """The axis with a name.

    Raises:
        UnknownNameError: There is none; the message has the nearest one.
    """
    for axis in axes:
        if axis.name == name:
            return axis
    raise UnknownNameError("axis", name, (axis.name for axis in axes))


def parse_value(axis: Axis, text: str) -> Value:
    """The value of an axis that a text means: JSON (``0.9``, ``[0.9, 0.95]``), or its label.

    Raises:
        UnknownNameError: The axis has no such value.
    """
    labels = {value_text(value): value for value in axis.values}
    if text in labels:
        return labels[text]
    try:
        parsed = freeze_value(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        parsed = text
    for value in axis.values:
        if value == parsed and isinstance(value, bool) == isinstance(parsed, bool):
            return value
    raise UnknownNameError("axis value", text[:40], labels, of=axis.name)


def configuration_label(configuration: Mapping[str, Any]) -> str:
    """A configuration as text: "learning rate 0.01, momentum 0.9"; lists of JSON are fine."""
    titles = axis_titles(configuration)
    return ", ".join(
        f"{titles[name]} {value_text(freeze_value(value))}" for name, value in configuration.items()
    )


def _merge(axes: Sequence[Axis]) -> Axis:
    first = axes[0]
    if all(axis == first for axis in axes):
        return first
    scales = {axis.scale for axis in axes}
    return Axis.of(
        first.name,
        (value for axis in axes for value in axis.values),
        scale=first.scale if len(scales) == 1 else None,
        is_range=any(axis.is_range for axis in axes),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
