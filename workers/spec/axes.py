"""Axes: the settings of a trial that a search varies, named by dotted paths.

    learning_rate, weight_decay     of the trial itself
    optimizer.momentum              an option of its optimizer
    training.batch_size             a field of its training section
    model.kwargs.width              a keyword argument of its network
    dataset.train_size              the number of its training images

A specification writes a list of values, a range, or one value, which fixes the setting. Other
settings cannot be axes: they do not change a result, or they change what is measured.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from workers.spec.configuration import Value, freeze_value, thaw_value
from workers.spec.fields import PartError, PartsError, Section
from workers.spec.ranges import Range
from workers.spec.sections import TrainingSpec

__all__ = [
    "KEYWORDS",
    "NO_RANGE",
    "RATES",
    "Axis",
    "AxisFields",
    "OptimizerSearch",
    "WrittenAxis",
    "name_flaw",
    "nearest",
    "optimizer_settings",
    "plain_axis",
    "read_axis",
    "read_option",
    "set_options",
]

Axis = Range | tuple[Value, ...]
"""Values that trials differ in."""
WrittenAxis = Range | Value
"""An axis as written: a range, a tuple of values, or one value, which fixes the setting."""

RATES = ("learning_rate", "weight_decay")
"""Axes that are no option of a section; None stands for the optimizer's own default."""
NO_RANGE = "must be a list of values in a grid (a range needs type: random or type: tpe)"
"""Message for a range in a grid."""
_SIZE = "dataset.train_size"
_MAX_VALUES = 100_000
_NO_OPTIONS = ("label", "name", "scheduled", "search")
"""Fields of an optimizer that are no options of it."""
KEYWORDS = "kwargs"
"""Field of the keyword arguments of a section."""

_NO_EFFECT = "cannot be an axis: it does not change the result of a trial"
_MEASURED = (
    "cannot be an axis: trials with different values are not comparable; submit a sweep for each "
    "value and compare the sweeps"
)
_SEEDS = "cannot be an axis: every configuration runs with each of the seeds of the sweep"
_LISTED = "cannot be an axis: list the optimizers under optimizers"
_ELSEWHERE = ("curvature", "dataset", "model", "ood", "optimizer", "search")
_OF_OPTIMIZER = (
    "must be an option of the optimizer by its own name, learning_rate, weight_decay, or a field "
    "of training such as training.schedule"
)
_REFUSED = {
    "curvature": _MEASURED,
    "dataset": _MEASURED,
    "dataset.placement": _NO_EFFECT,
    "early_stopping": _NO_EFFECT,
    "limits": _NO_EFFECT,
    "model": _MEASURED,
    "ood": _MEASURED,
    "optimizer.kwargs": "must be named without kwargs: optimizer.<keyword>",
    "optimizer.label": _LISTED,
    "optimizer.name": _LISTED,
    "optimizer.scheduled": _NO_EFFECT,
    "optimizer.search": _LISTED,
    "priority": _NO_EFFECT,
    "resources": _NO_EFFECT,
    "reuse": _NO_EFFECT,
    "seed": _SEEDS,
    "seeds": _SEEDS,
    "training.checkpoint_every": _NO_EFFECT,
}
"""Why a setting, or all settings of a section, cannot be an axis."""


def _parse_values(value: Any) -> Value:
    """Values of an axis, or the one value that fixes it."""
    if isinstance(value, list | tuple) and not value:
        raise ValueError("must have at least 1 entry")
    if isinstance(value, list | tuple) and len(value) > _MAX_VALUES:
        raise ValueError(f"must have at most {_MAX_VALUES:,} entries")
    for position, item in enumerate(value if isinstance(value, list | tuple) else ()):
        if isinstance(item, dict):
            message = "must be text, a number, true, false, null or a list"
            raise PartError((position,), message, item)
    try:
        return freeze_value(value)
    except TypeError:
        raise ValueError("must be a list of values, or one value") from None


def _kind(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "values"


_Written = Annotated[
    Annotated[Range, Tag("range")]
    | Annotated[
        Any,
        PlainValidator(_parse_values, json_schema_input_type=list[Any] | bool | float | str | None),
        Tag("values"),
    ],
    Discriminator(_kind),
]


def _restrict_names(schema: dict[str, Any], section: type[BaseModel]) -> None:
    """Describe which keys a search has beside its fields, for editors."""
    if section.model_fields:
        names = [*section.model_fields, r"(optimizer|training|model\.kwargs)\..+", _SIZE]
        schema["propertyNames"] = {"pattern": f"^({'|'.join(names)})$"}


class AxisFields(Section):
    """A section whose further keys are axes."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_restrict_names)
    __pydantic_extra__: dict[str, _Written] = Field(init=False)

    @property
    def written(self) -> dict[str, WrittenAxis]:
        """The axes in order, by their names in the section."""
        fixed = [name for name in RATES if name in type(self).model_fields]
        return {name: getattr(self, name) for name in fixed} | self.__pydantic_extra__


class OptimizerSearch(AxisFields):
    """Axes of one optimizer, in addition to those of the sweep.

    Its keys are options of the optimizer, such as ``rho``; ``learning_rate`` and ``weight_decay``,
    which replace those of the sweep; and fields of ``training``, such as ``training.schedule``.
    """

    @property
    def named(self) -> dict[str, WrittenAxis]:
        """The axes in order, by their names in the sweep."""
        return {
            name if name in RATES or name.startswith("training.") else f"optimizer.{name}": value
            for name, value in self.written.items()
        }

    @model_validator(mode="after")
    def _known_names(self) -> OptimizerSearch:
        flaws = []
        for (name, value), axis in zip(self.written.items(), self.named, strict=True):
            is_elsewhere = name.partition(".")[0] in _ELSEWHERE
            message = _OF_OPTIMIZER if is_elsewhere else name_flaw(axis)
            if message:
                flaws.append(PartError((name,), message, plain_axis(value)))
        if flaws:
            raise PartsError(flaws)
        return self


def name_flaw(name: str, fields: Iterable[str] = (), options: Iterable[str] = ()) -> str | None:
    """What is wrong with the name of an axis, as far as no optimizer or network decides it.

    Args:
        name: The name.
        fields: Keys of the section in which it was found, for the message.
        options: Options of optimizers, for the message.
    """
    section, _, option = name.partition(".")
    if name in RATES or name == _SIZE:
        return None
    if section == "optimizer" and option:
        return _REFUSED.get(".".join(name.split(".")[:2]))
    if section == "model" and option.startswith(f"{KEYWORDS}."):
        return None
    reason = _REFUSED.get(name, _REFUSED.get(section))
    if reason is not None:
        return reason
    training = [f"training.{field}" for field in TrainingSpec.model_fields]
    if name in training:
        return None
    known = [*fields, *RATES, _SIZE, *training]
    known += [f"optimizer.{option}" for option in options]
    short = {axis.rpartition(".")[2]: axis for axis in known}
    near = short.get(name) or nearest(name, known)
    guess = f"; did you mean {near}?" if near else ""
    listed = ", ".join(dict.fromkeys([*fields, *RATES]))
    return (
        f"unknown key{guess} (known: {listed}, and axes named optimizer.<option>, "
        "training.<field>, model.kwargs.<keyword> or dataset.train_size)"
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another one; None if none is like it."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def plain_axis(value: WrittenAxis) -> Any:
    """An axis as written, as plain data."""
    return value.model_dump() if isinstance(value, Range) else thaw_value(value)


def read_axis(trial: Any, axis: str) -> Value:
    """The value of an axis in a trial.

    Args:
        trial: A trial, or anything else with its sections.
        axis: Name of the axis.
    """
    section, _, option = axis.partition(".")
    value = getattr(trial, section)
    return read_option(value, option) if option else freeze_value(value)


def read_option(section: Section, option: str) -> Value:
    """An option in a section: a field, a field of a section in it, or a keyword argument."""
    value: Any = section
    for part in _way(section, option):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return freeze_value(value)


def set_options(section: Any, values: Mapping[str, Value], context: Any = None) -> Any:
    """A copy of a section with other values of options.

    Raises:
        ValidationError: The section refuses a value.
    """
    fields = dict(section)
    for option, value in values.items():
        *way, last = _way(section, option)
        inner = fields
        for part in way:
            inner[part] = dict(inner[part] or {})
            inner = inner[part]
        inner[last] = thaw_value(value)
    return type(section).model_validate(fields, context=context)


def optimizer_settings(section: Section) -> dict[str, Value]:
    """Every option of an optimizer with its value, also those left at their default."""
    found: dict[str, Value] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if name in _NO_OPTIONS:
            continue
        if isinstance(value, Section):
            inner = {"name": getattr(value, "name", None), **optimizer_settings(value)}
            found |= {f"{name}.{option}": setting for option, setting in inner.items()}
        elif isinstance(value, dict):
            found |= {key: _comparable(setting) for key, setting in value.items()}
        else:
            found[name] = freeze_value(value)
    return found


def _way(section: Section, option: str) -> list[str]:
    """The fields and keys that lead to an option; one that is no field is a keyword argument."""
    parts = option.split(".")
    return parts if parts[0] in type(section).model_fields else [KEYWORDS, *parts]


def _comparable(value: Any) -> Value:
    """The value of a keyword argument; a mapping as text, which is the value of no axis."""
    try:
        return freeze_value(value)
    except TypeError:
        return json.dumps(value, sort_keys=True)
