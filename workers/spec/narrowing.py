"""A specification narrowed to one configuration, to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workers.spec.configuration import thaw_value
from workers.spec.sweep import SweepSpec
from workers.spec.writing import without_defaults

__all__ = ["narrowed"]


def narrowed(
    specification: SweepSpec, label: str, values: Mapping[str, Any], seeds: Sequence[int]
) -> dict[str, Any]:
    """The specification of one configuration alone, as plain data without defaults.

    Its trials have the keys that they have in the sweep. It has no early stopping, so that they run
    to their end, and reuses no results, so that they run at all.

    Args:
        specification: Of the sweep.
        label: Label of the optimizer.
        values: JSON value of each axis of the optimizer, by name.
        seeds: Seeds to run.
    """
    plain = without_defaults(specification)
    sections = dict(zip(specification.labels, plain["optimizers"], strict=True))
    section = {name: value for name, value in sections[label].items() if name != "search"}
    for setting in ("early_stopping", "reuse"):
        plain.pop(setting, None)
    settings = specification.space(label).fixed.items()
    fixed = {name: thaw_value(value) for name, value in settings}
    return plain | {
        "optimizers": [section],
        "search": fixed | {name: [value] for name, value in values.items()},
        "seeds": list(seeds),
    }
