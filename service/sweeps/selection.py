"""Selection of sweeps by state, name, tag, model and so on, and the orders of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_

from service.states import SweepState
from service.storage.tables import SweepRow

__all__ = ["ARCHIVED", "SweepOrder", "SweepSelection", "parse_tags"]


ARCHIVED: Mapping[str, bool | None] = MappingProxyType({"no": False, "only": True, "all": None})
"""Choices of callers, and ``SweepSelection.archived`` for each."""


class SweepOrder(StrEnum):
    """Order of a list of sweeps."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    TRIALS = "trials"
    """Most trials first."""

    @property
    def columns(self) -> tuple[ColumnElement[Any], ...]:
        """The columns to order by; the last ones make the order total."""
        newest = (SweepRow.created_at.desc(), SweepRow.sweep_id.desc())
        match self:
            case SweepOrder.NEWEST:
                return newest
            case SweepOrder.OLDEST:
                return (SweepRow.created_at.asc(), SweepRow.sweep_id.asc())
            case SweepOrder.NAME:
                return (func.lower(SweepRow.name), *newest)
            case SweepOrder.TRIALS:
                return (SweepRow.trial_count.desc(), *newest)


@dataclass(frozen=True, slots=True)
class SweepSelection:
    """Which sweeps to list; the default is all that are not archived.

    Attributes:
        states: Only sweeps in these states; empty for all.
        text: Part of the name, or the beginning of the id.
        name: Exact name.
        creator: Name of the token that submitted them.
        model: Model of the specification.
        dataset: Data set of the specification.
        tags: Only sweeps with these tags; None for any value.
        archived: Whether to list the archived sweeps instead of the others; None for both.
    """

    states: Sequence[SweepState] = ()
    text: str | None = None
    name: str | None = None
    creator: str | None = None
    model: str | None = None
    dataset: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    archived: bool | None = False

    @property
    def condition(self) -> ColumnElement[bool]:
        """The condition on the rows of sweeps."""
        row, found = SweepRow, list[ColumnElement[bool]]()
        if self.states:
            found.append(row.state.in_(list(self.states)))
        if self.text:
            named = func.lower(row.name).contains(self.text.lower(), autoescape=True)
            found.append(or_(named, row.sweep_id.startswith(self.text, autoescape=True)))
        exact = {
            row.name: self.name,
            row.creator: self.creator,
            row.specification["model"]["name"].as_string(): self.model,
            row.specification["dataset"]["name"].as_string(): self.dataset,
        }
        found += [column == value for column, value in exact.items() if value]
        for tag, value in self.tags.items():
            stored = row.tags[tag].as_string()
            found.append(stored.is_not(None) if value is None else stored == value)
        if self.archived is not None:
            found.append(row.archived_at.is_(None) != self.archived)
        return and_(True, *found)


def parse_tags(texts: Sequence[str]) -> dict[str, str | None]:
    """Tags given as ``name=value``, or as ``name`` for any value."""
    parts = (text.partition("=") for text in texts)
    return {name: value if equals else None for name, equals, value in parts if name}
