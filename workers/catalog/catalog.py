"""Entries of one kind by name: built-in ones, those of installed packages, families, own code."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from workers.own_code.names import FORMS, CodeName, parse_code_name
from workers.scores import ScoreName
from workers.tasks import TASKS, TaskName

__all__ = ["Catalog", "CatalogEntry"]


_NO_FILES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """An optimizer, model or data set.

    Args:
        name: Its name in a specification.
        title: Its name in tables and figures.
        target: ``module:attribute`` of its factory.
        summary: One sentence.
        facts: Facts for clients, such as the number of classes.
    """

    name: str
    title: str
    target: str
    summary: str
    facts: Mapping[str, Any]


class Catalog:
    """Named entries of one kind: built-in ones, those of installed packages, and families.

    A family is an entry whose name ends in a colon, such as ``timm:``. It matches every name with
    that prefix, and its library resolves the rest.
    """

    def __init__(self, kind: str, entries: list[CatalogEntry]) -> None:
        self.kind = kind
        self._built_in = {entry.name: entry for entry in entries}

    def entries(self) -> dict[str, CatalogEntry]:
        """All entries by name; a built-in name cannot be taken by a package."""
        return {**_plugins(f"sasam.{self.kind}s"), **self._built_in}

    def require(self, name: str) -> str:
        """Return ``name`` if it is known; a user's own code without ``./``.

        Raises:
            ValueError: It is unknown; the message has the known names and the nearest one.
        """
        self.entry(name)
        return str(self.code_name(name) or name)

    def entry(self, name: str) -> CatalogEntry:
        """The entry of ``name``, or of its family.

        Raises:
            ValueError: It is unknown; the message has the known names and the nearest one.
        """
        code_name = self.code_name(name)
        if code_name is not None:
            return _code_entry(code_name)
        entries = self.entries()
        family, colon, member = name.partition(":")
        found = entries.get(f"{family}:" if colon and member else name)
        if found is None or (found.name.endswith(":") and not member):
            known = [f"{key}<name>" if key.endswith(":") else key for key in sorted(entries)]
            near = difflib.get_close_matches(name, known, n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"unknown {self.kind} {name!r}{guess} (known: {', '.join(known)}; "
                f"your own: {FORMS})"
            )
        return found

    def facts(self, name: str) -> Mapping[str, Any]:
        """Facts of ``name``; for a member of a family those of the family and its own."""
        facts = dict(self.entry(name).facts)
        members = facts.pop("members", {})
        return facts | dict(members.get(name.partition(":")[2], {}))

    def default_score(self, name: str) -> ScoreName:
        """What ranks configurations on the data set ``name`` unless a specification names it."""
        task = self.task(name)
        return "accuracy" if task is None else TASKS[task].score

    def task(self, name: str) -> TaskName | None:
        """What a model or a data set is for; None for a user's own code, which may be for any."""
        if self.code_name(name) is not None:
            return None
        task: TaskName = self.known_facts(name).get("task", "images")
        return task

    def known_facts(self, name: str) -> Mapping[str, Any]:
        """Facts of ``name``; none if it is unknown, such as of a package not installed here."""
        try:
            return self.facts(name)
        except ValueError:
            return {}

    def code_name(self, name: str) -> CodeName | None:
        """The parts of the name of a user's own code; None for an entry or an unknown name."""
        if f"{name.partition(':')[0]}:" in self.entries():
            return None
        return parse_code_name(name)

    def title(self, name: str) -> str:
        """Title of ``name`` in tables and figures."""
        entry = self.entry(name)
        return name if entry.name.endswith(":") else entry.title

    def load(self, name: str, files: Mapping[str, str] = _NO_FILES) -> Callable[..., Any]:
        """Import the factory of ``name``.

        Args:
            name: Name in a specification.
            files: Sources of the specification, which a user's own code is imported from.

        Raises:
            ValueError: There is no such entry, or its package or file is broken.
        """
        code_name = self.code_name(name)
        if code_name is not None:
            factories = importlib.import_module("workers.own_code.factories")  # imports torch
            own: Callable[..., Any] = getattr(factories, f"{self.kind}_factory")(code_name, files)
            return own
        target = self.entry(name).target
        module, _, attribute = target.partition(":")
        try:
            factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{self.kind} {name} cannot be loaded from {target}: {error}"
            ) from error
        return factory


def _code_entry(name: CodeName) -> CatalogEntry:
    """The entry of a user's own code; facts about it are unknown."""
    source = name.file or f"the module {name.module}"
    return CatalogEntry(str(name), name.attribute, str(name), f"From {source}.", {})


@cache
def _plugins(group: str) -> dict[str, CatalogEntry]:
    """Entries of installed packages."""
    return {
        point.name: CatalogEntry(
            point.name,
            point.name,
            point.value,
            f"From {point.dist.name}." if point.dist else "",
            {},
        )
        for point in entry_points(group=group)
    }
