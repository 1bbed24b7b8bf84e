"""Selection of trials: conditions and order, as parts of a query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Text, cast, func, or_

from service.storage.tables import TrialRow
from workers.spec import Value
from workers.spec.configuration import thaw_value

__all__ = ["HYPERPARAMETERS_TEXT", "TrialFilter", "TrialOrder"]

HYPERPARAMETERS_TEXT = cast(TrialRow.hyperparameters, Text)
"""A configuration as text: PostgreSQL cannot compare JSON."""


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """Conditions on trials of a sweep; None disables a condition.

    Attributes:
        status: An outcome; ``running`` and ``pending`` are trials without one.
        optimizer: A label.
        hyperparameters: The exact value of axes, by their names.
    """

    status: str | None = None
    optimizer: str | None = None
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)

    def apply(self, query: Select[Any], sweep_id: str) -> Select[Any]:
        """The query with its conditions."""
        query = query.where(TrialRow.sweep_id == sweep_id)
        started = TrialRow.mlflow_run_id.is_not(None)
        if self.status in {"running", "pending"}:
            has_run = started if self.status == "running" else ~started
            query = query.where(TrialRow.outcome.is_(None), has_run)
        elif self.status is not None:
            query = query.where(TrialRow.outcome == self.status)
        if self.optimizer is not None:
            query = query.where(TrialRow.optimizer == self.optimizer)
        return query.where(*(_has(axis, value) for axis, value in self.hyperparameters.items()))


def _has(axis: str, value: Value) -> ColumnElement[bool]:
    """Whether a trial has a value on an axis.

    Compares the stored text, in which keys and values are written as `json.dumps` writes them: a
    cast of values that are no numbers would fail on PostgreSQL.
    """
    forms = {json.dumps(thaw_value(value))}
    if isinstance(value, int | float) and not isinstance(value, bool):
        forms |= {json.dumps(float(value)), json.dumps(int(value) if value % 1 == 0 else value)}
    entries = [f"{json.dumps(axis)}: {form}{end}" for form in forms for end in (", ", "}")]
    return or_(
        *(
            func.replace(HYPERPARAMETERS_TEXT, entry, "") != HYPERPARAMETERS_TEXT
            for entry in entries
        )
    )


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """Order of trials by one value; those without it come last.

    Attributes:
        kind: "column", "metric", "number" or "text" (a hyperparameter with values of that kind).
        name: Column, metric or hyperparameter.
        is_descending: Whether the largest comes first.
    """

    kind: Literal["column", "metric", "number", "text"]
    name: str
    is_descending: bool = False

    @property
    def expression(self) -> ColumnElement[Any]:
        """What to order by."""
        value: ColumnElement[Any]
        match self.kind:
            case "column":
                value = TrialRow.__table__.columns[self.name]
            case "metric":
                value = TrialRow.metrics[self.name].as_float()
            case "number":
                value = TrialRow.hyperparameters[self.name].as_float()
            case "text":
                value = TrialRow.hyperparameters[self.name].as_string()
        return (value.desc() if self.is_descending else value.asc()).nulls_last()
