"""Axes: the settings of a trial that a search varies, named by dotted paths.

learning_rate, weight_decay     of the trial itself
optimizer.momentum              an option of its optimizer
training.batch_size             a field of its training section
model.kwargs.width              a keyword argument of its network
dataset.train_size              a field of its data set
"""

from __future__ import annotations

from typing import Any

from workers.spec.configuration import Value, freeze_value
from workers.spec.fields import Section

__all__ = ["read_axis"]

_KEYWORD = "kwargs."


def read_axis(trial: Section, axis: str) -> Value:
    """The value of an axis.

    Args:
        trial: A trial, or the sections of a sweep.
        axis: Name of the axis.
    """
    name, _, option = axis.partition(".")
    value: Any = getattr(trial, name)
    return freeze_value(_read_option(value, option) if option else value)


def _read_option(section: Any, option: str) -> Any:
    """A field of a section, or a keyword argument in it."""
    if option in type(section).model_fields:
        return getattr(section, option)
    return section.kwargs[option.removeprefix(_KEYWORD)]
