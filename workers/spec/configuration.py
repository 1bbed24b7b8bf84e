"""Configurations: the value that a trial has on each axis of its search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union

__all__ = [
    "Configuration",
    "Value",
    "freeze_value",
    "thaw_value",
]

Value = Union[None, bool, int, float, str, tuple["Value", ...]]  # noqa: UP007 - it is recursive
"""Value of a hyperparameter: a scalar of JSON, or a list such as Adam's betas."""


class Configuration(Mapping[str, Value]):
    """Immutable, ordered, hashable mapping from the name of an axis to a value.

    Args:
        values: Values by name, such as ``{"learning_rate": 0.1, "optimizer.momentum": 0.9}``;
            lists become tuples.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self._values = {name: freeze_value(value) for name, value in dict(values).items()}

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"Configuration({self._values!r})"

    def plain(self) -> dict[str, Any]:
        """The values as plain JSON, with lists."""
        return {name: thaw_value(value) for name, value in self._values.items()}


def freeze_value(value: Any) -> Value:
    """A value of JSON with tuples in place of lists.

    Raises:
        TypeError: It is neither a scalar nor a list of values.
    """
    if isinstance(value, list | tuple):
        return tuple(map(freeze_value, value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a value must be a scalar or a list, not {type(value).__name__}")


def thaw_value(value: Value) -> Any:
    """A value as plain JSON, with lists in place of tuples."""
    return [thaw_value(item) for item in value] if isinstance(value, tuple) else value
