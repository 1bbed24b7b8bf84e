"""Resolution of the axes of a sweep: each value is validated by the setting that it sets.

    axes of the search + own axes of an optimizer + sections -> the space of the optimizer

Values take the form that the setting gives them (1 becomes 1.0 where it is a real number), so that
equal values are found, and so that a value reads the same in the specification and in a trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from workers.spec.axes import (
    KEYWORDS,
    NO_RANGE,
    RATES,
    Axis,
    AxisFields,
    WrittenAxis,
    nearest,
    optimizer_settings,
    plain_axis,
    read_option,
    set_options,
)
from workers.spec.configuration import Value, thaw_value
from workers.spec.fields import (
    NonNegative,
    PartError,
    PartsError,
    Positive,
    Section,
    without_duplicates,
)
from workers.spec.messages import message_of
from workers.spec.optimizers import OptimizerSpec
from workers.spec.ranges import Range
from workers.spec.sections import ModelSpec
from workers.spec.spaces import Space

__all__ = ["resolve_spaces"]

Location = tuple[int | str, ...]

_MAX_REPRESENTATIVES = 50
_RATE_TYPES = dict(zip(RATES, (TypeAdapter(Positive), TypeAdapter(NonNegative)), strict=True))


def resolve_spaces(
    search: AxisFields,
    optimizers: Mapping[str, OptimizerSpec],
    sections: Mapping[str, Section],
    context: Any = None,
) -> dict[str, Space]:
    """The space of each optimizer by its label.

    Args:
        search: Search section of the sweep.
        optimizers: Optimizers by label, in the order of the sweep.
        sections: The sections ``training``, ``model`` and ``dataset`` of the sweep.
        context: Context of the validation of the sweep.

    Raises:
        PartsError: Values or axes that the settings refuse, by their places in the sweep.
    """
    errors: dict[tuple[Location, str], PartError] = {}
    spaces = {}
    for position, (label, optimizer) in enumerate(optimizers.items()):
        resolver = _Resolver(label, {**sections, "optimizer": optimizer}, context)
        spaces[label] = resolver.resolve(_written(search, position, optimizer, resolver.errors))
        for error in resolver.errors:
            errors.setdefault((error.location, str(error)), error)
    if errors:
        raise PartsError(list(errors.values()))
    return spaces


@dataclass(frozen=True, slots=True)
class _Written:
    """An axis as written, and where."""

    axis: str
    value: WrittenAxis
    location: Location


def _written(
    search: AxisFields, position: int, optimizer: OptimizerSpec, errors: list[PartError]
) -> list[_Written]:
    """The axes of an optimizer: those of the sweep, replaced or followed by its own."""
    own: dict[str, _Written] = {}
    if optimizer.search is not None:
        place = ("optimizers", position, "search")
        for name, (axis, value) in zip(
            optimizer.search.written, optimizer.search.named.items(), strict=True
        ):
            own[axis] = _Written(axis, value, (*place, name))
            is_grid = getattr(search, "type", None) == "grid"
            if isinstance(value, Range) and is_grid:
                errors.append(PartError((*place, name), NO_RANGE, plain_axis(value)))
    found = []
    for axis, value in search.written.items():
        replacement = own.pop(axis, None)
        if replacement is not None and axis not in RATES:
            message = f"must not be given both here and as search.{axis}"
            errors.append(PartError(replacement.location, message, plain_axis(replacement.value)))
        found.append(replacement or _Written(axis, value, ("search", axis)))
    return [*found, *own.values()]


class _Resolver:
    """Validates the axes of one optimizer.

    Args:
        label: Label of the optimizer.
        sections: The sections ``training``, ``model``, ``dataset`` and ``optimizer``.
        context: Context of the validation.
    """

    def __init__(self, label: str, sections: Mapping[str, Section], context: Any) -> None:
        self.errors: list[PartError] = []
        self._label = label
        self._sections = dict(sections)
        self._context = context

    def resolve(self, written: list[_Written]) -> Space:
        """The space; what is wrong is added to ``errors``."""
        axes: dict[str, Axis] = {}
        fixed: dict[str, Value] = {}
        for entry in written:
            if flaw := self._name_flaw(entry):
                self.errors.append(PartError(entry.location, flaw, plain_axis(entry.value)))
            elif isinstance(entry.value, Range):
                axes[entry.axis] = self._range(entry, entry.value)
            elif isinstance(entry.value, tuple):
                axes[entry.axis] = self._values(entry, entry.value)
            else:
                fixed[entry.axis] = self._value(entry, entry.value, entry.location)
        places = {entry.axis: entry.location for entry in written}
        space = Space(axes, fixed, places)
        if not self.errors:
            self._check_together(space)
        return space

    def _name_flaw(self, entry: _Written) -> str | None:
        """What is wrong with an axis for this optimizer and this network; None if nothing is."""
        section, _, option = entry.axis.partition(".")
        model = self._sections["model"]
        if section == "model" and isinstance(model, ModelSpec):
            return model.keyword_flaw(option.removeprefix(f"{KEYWORDS}."))
        if _holds_section(self._annotation(entry.axis)):
            return "has options of its own: make one of them an axis, or list variants of it"
        optimizer = self._sections["optimizer"]
        if section != "optimizer" or KEYWORDS in type(optimizer).model_fields:
            return None
        known = optimizer_settings(optimizer)
        if option in known:
            return None
        near = nearest(option, known)
        guess = f"; did you mean {near}?" if near else ""
        has = f"optimizer {self._label} has no option {option}{guess} (known: {', '.join(known)})"
        if entry.location[0] == "optimizers":
            return has
        return f"{has}; give it to the others alone, under search of each in optimizers"

    def _values(self, entry: _Written, values: tuple[Value, ...]) -> tuple[Value, ...]:
        """The values of an axis in the form of its setting."""
        if _holds_lists(self._annotation(entry.axis)) and not any(
            isinstance(value, tuple) for value in values
        ):
            message = "must be a list of lists, as each value is a list, such as [[0.9, 0.999]]"
            self.errors.append(PartError(entry.location, message, thaw_value(values)))
            return values
        known = len(self.errors)
        found = tuple(
            self._value(entry, value, (*entry.location, position), of_axis=True)
            for position, value in enumerate(values)
        )
        if len(self.errors) == known:
            try:
                without_duplicates(found)
            except ValueError as error:
                self.errors.append(PartError(entry.location, str(error), thaw_value(values)))
        return found

    def _range(self, entry: _Written, numbers: Range) -> Range:
        """A range in the form of its setting."""
        is_whole = numbers.whole or _holds_whole(self._annotation(entry.axis))
        for end in ("low", "high"):
            number = getattr(numbers, end)
            if is_whole and number == int(number):
                number = int(number)
            self._value(entry, number, (*entry.location, end), of_axis=True)
        return numbers.model_copy(update={"whole": is_whole})

    def _value(
        self, entry: _Written, value: Value, location: Location, *, of_axis: bool = False
    ) -> Value:
        """A value in the form of its setting."""
        section, _, option = entry.axis.partition(".")
        if not option and value is None and not of_axis:
            return None  # the optimizer's own default
        try:
            if option:
                changed = set_options(self._sections[section], {option: value}, self._context)
                value = read_option(changed, option)
            else:
                value = _RATE_TYPES[section].validate_python(value, context=self._context)
        except ValidationError as error:
            found = _option_errors(error, location)
            self.errors += [part for part in found if part.concerns(option)]
        return value

    def _annotation(self, axis: str) -> Any:
        """Type of the setting of an axis; Any for a keyword argument."""
        section, _, option = axis.partition(".")
        if not option:
            return float
        owner: Any = self._sections[section]
        *way, last = option.split(".")
        for part in way:
            owner = getattr(owner, part, None)
        field = type(owner).model_fields.get(last) if isinstance(owner, Section) else None
        return Any if field is None else field.annotation

    def _check_together(self, space: Space) -> None:
        """Check each two axes of a section together: ``warmup_epochs`` is below ``epochs``."""
        for section in self._sections:
            prefix = f"{section}."
            options = {
                axis.removeprefix(prefix): space.representatives(axis)[:_MAX_REPRESENTATIVES]
                for axis in (*space.axes, *space.fixed)
                if axis.startswith(prefix)
            }
            for chosen in _pairs(options):
                try:
                    set_options(self._sections[section], chosen, self._context)
                except ValidationError as error:
                    self._blame(error, section, chosen, space)
                    return

    def _blame(
        self, error: ValidationError, section: str, chosen: Mapping[str, Value], space: Space
    ) -> None:
        """Add an error of values that do not fit together."""
        for found in _option_errors(error, ()):
            concerned = [option for option in chosen if found.concerns(option)]
            option = next(iter(concerned or chosen))
            axis = f"{section}.{option}"
            others = ", ".join(
                f"{section}.{name} is {thaw_value(value)}"
                for name, value in chosen.items()
                if name != option
            )
            named = "" if concerned else f"{section}.{'.'.join(found.names)} "
            message = f"{named}{found}" + (f" (where {others})" if others else "")
            location = space.place(axis, chosen[option])
            self.errors.append(PartError(location, message, thaw_value(chosen[option])))


def _pairs(options: Mapping[str, tuple[Value, ...]]) -> Iterator[dict[str, Value]]:
    """Every two values of two options, with the first value of each other option."""
    first = {name: values[0] for name, values in options.items()}
    if len(options) == 1:
        ((name, values),) = options.items()
        yield from ({name: value} for value in values)
    for one, other in combinations(options, 2):
        for value, another in product(options[one], options[other]):
            yield first | {one: value, other: another}


class _OptionError(PartError):
    """An error in an option of a section.

    Args:
        names: Names on the way to the option; empty for an error of the whole section.
        location: Location of the part of the value.
        message: What is wrong and what is allowed.
        value: The part.
    """

    def __init__(
        self, names: tuple[str, ...], location: Location, message: str, value: object
    ) -> None:
        self.names = names
        super().__init__(location, message, value)

    def concerns(self, option: str) -> bool:
        """Whether it could be an error of this option."""
        return not self.names or option.rpartition(".")[2] in self.names


def _option_errors(error: ValidationError, location: Location) -> Iterator[_OptionError]:
    """The errors of a section, each at a location and a place in the value of its option."""
    for detail in error.errors(include_url=False):
        cause: Any = detail.get("ctx", {}).get("error")
        place = (*detail["loc"], *getattr(cause, "location", ()))
        names = tuple(part for part in place if isinstance(part, str))
        rest = tuple(part for part in place if isinstance(part, int))
        value = getattr(cause, "value", detail["input"])
        yield _OptionError(names, (*location, *rest), message_of(detail), value)


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    arguments = get_args(annotation)
    yield annotation if not arguments else get_origin(annotation)
    for argument in arguments:
        yield from _leaves(argument)


def _holds_whole(annotation: Any) -> bool:
    """Whether the only numbers that a setting takes are whole."""
    leaves = set(_hashable(_leaves(annotation)))
    return int in leaves and float not in leaves


def _holds_lists(annotation: Any) -> bool:
    """Whether a value of a setting is a list."""
    return tuple in set(_hashable(_leaves(annotation)))


def _holds_section(annotation: Any) -> bool:
    """Whether a value of a setting is a section."""
    return any(issubclass(leaf, Section) for leaf in _hashable(_leaves(annotation)))


def _hashable(leaves: Iterator[Any]) -> Iterator[type]:
    return (leaf for leaf in leaves if isinstance(leaf, type))
