"""Spaces: the configurations that a search can give to one optimizer."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeGuard

from workers.spec.axes import Axis
from workers.spec.configuration import Configuration, Value
from workers.spec.ranges import Range

__all__ = ["Space", "could_be_equal"]

_MAX_REPEATS = 20
"""Draws per requested configuration, and at most 1,000 more, before the rest is enumerated."""
_MAX_TRIES = 1_000


@dataclass(frozen=True, slots=True)
class Space:
    """The axes of an optimizer, and its settings that the search fixes.

    Args:
        axes: Values or range of each axis, those that all optimizers share first.
        fixed: Value of each setting that the search fixes.
        places: Location of each of them in the specification.
    """

    axes: Mapping[str, Axis]
    fixed: Mapping[str, Value]
    places: Mapping[str, tuple[int | str, ...]]

    @property
    def size(self) -> float:
        """Number of configurations; infinity with a range of real numbers."""
        return math.prod(
            axis.size if isinstance(axis, Range) else len(axis) for axis in self.axes.values()
        )

    def corners(self) -> Iterator[Configuration]:
        """The configuration of the largest values, and one with each other choice or end."""
        ends = {name: _ends(axis) for name, axis in self.axes.items()}
        largest = {name: values[0] for name, values in ends.items()}
        yield Configuration(largest)
        for name, values in ends.items():
            yield from (Configuration(largest | {name: value}) for value in values[1:])

    def representatives(self, axis: str) -> tuple[Value, ...]:
        """Values to check rules with: the smallest and largest number, and all other values."""
        if axis in self.fixed:
            return (self.fixed[axis],)
        values = self.axes[axis]
        if isinstance(values, Range):
            return values.at(0), values.at(1)
        numbers = [value for value in values if _is_number(value)]
        others = [value for value in values if not _is_number(value)]
        return (*{min(numbers): None, max(numbers): None}, *others) if numbers else values

    def place(self, axis: str, value: Value) -> tuple[int | str, ...]:
        """Location of a value of an axis in the specification."""
        values = self.axes.get(axis)
        if isinstance(values, tuple) and value in values:
            return (*self.places[axis], values.index(value))
        return self.places[axis]

    def enumerate(self) -> Iterator[Configuration]:
        """All configurations of a finite space, the last axis varying fastest."""
        values = [axis.numbers if isinstance(axis, Range) else axis for axis in self.axes.values()]
        return (Configuration(zip(self.axes, cell, strict=True)) for cell in product(*values))

    def draw(self, count: int, seed: int, common: Sequence[str]) -> list[Configuration]:
        """Distinct configurations in the order they were drawn, at random.

        Args:
            count: Number of configurations; all of a smaller space.
            seed: Seed of the search.
            common: Axes of the sweep. An optimizer that has one gets the same share of its range,
                or of its values, as the other optimizers.
        """
        of_sweep = random.Random(f"sasam {seed}")  # noqa: S311 - no secret
        own = random.Random(f"sasam {seed} own")  # noqa: S311 - no secret
        count = int(min(count, self.size))
        most = math.inf if math.isinf(self.size) else _MAX_REPEATS * count + _MAX_TRIES
        drawn: dict[Configuration, None] = {}
        draws = 0
        while len(drawn) < count and draws < most:
            draws += 1
            shares = {name: of_sweep.random() for name in common}
            drawn[self._at(shares, own)] = None
        if len(drawn) < count:
            rest = [found for found in self.enumerate() if found not in drawn]
            drawn |= dict.fromkeys(own.sample(rest, count - len(drawn)))
        return list(drawn)

    def draw_other(self, known: Collection[Configuration], seed: int) -> Configuration:
        """A random configuration that is not among those that are known.

        Args:
            known: Fewer configurations than the space has.
            seed: Seed of the draw.
        """
        generator = random.Random(seed)  # noqa: S311 - no secret
        for _ in range(_MAX_TRIES):
            found = self._at({}, generator)
            if found not in known:
                return found
        return generator.choice([found for found in self.enumerate() if found not in known])

    def _at(self, shares: Mapping[str, float], generator: random.Random) -> Configuration:
        """The configuration at shares in [0, 1) of its axes; missing shares are drawn."""
        return Configuration(
            (name, _pick(axis, shares[name] if name in shares else generator.random()))
            for name, axis in self.axes.items()
        )


def could_be_equal(one: Axis, other: Axis) -> bool:
    """Whether two axes have a value in common; ranges that overlap count as if they had."""
    if isinstance(one, Range):
        if isinstance(other, Range):
            return one.low <= other.high and other.low <= one.high
        return any(_is_number(value) and one.low <= value <= one.high for value in other)
    if isinstance(other, Range):
        return could_be_equal(other, one)
    return not set(one).isdisjoint(other)


def _ends(axis: Axis) -> tuple[Value, ...]:
    """The ends of a range or all choices, the largest number first."""
    if isinstance(axis, Range):
        return axis.at(1), axis.at(0)
    numbers = sorted((value for value in axis if _is_number(value)), reverse=True)
    return (*numbers, *(value for value in axis if not _is_number(value)))


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pick(axis: Axis, share: float) -> Value:
    """The value at a share in [0, 1) of an axis."""
    return axis.at(share) if isinstance(axis, Range) else axis[int(share * len(axis))]
