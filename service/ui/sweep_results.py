"""Statistics of a sweep for its pages, computed once for each set of ended trials.

Pages are polled; statistics change only when a trial ends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from service.storage import Database
from service.summaries import (
    FigureData,
    NotAvailableError,
    SweepSummary,
    TrialTable,
    compute_figure,
    summarize,
)
from service.summaries.endpoints import table_of_sweep
from service.ui.queries import trials_version

__all__ = ["SweepResults"]

_KEPT = 64
"""Answers kept: a few pages of a few sweeps."""


class SweepResults:
    """What can be said of a sweep's trials now.

    Args:
        database: Where they are stored.
        sweep_id: The sweep; it exists.
    """

    def __init__(self, database: Database, sweep_id: str) -> None:
        self._database = database
        self._sweep_id = sweep_id
        with database.snapshot() as session:
            self._version = trials_version(session, sweep_id)

    @property
    def table(self) -> TrialTable:
        """The trials beside what was planned."""
        table: TrialTable = self._once("table")
        return table

    def summary(self) -> SweepSummary | None:
        """Tuning sensitivity; None before a trial has ended."""
        summary: SweepSummary | None = self._once("summary")
        return summary

    def figure(self, name: str, **options: str | None) -> FigureData:
        """A figure's data.

        Raises:
            NotAvailableError: The trials cannot show it.
            UnknownNameError: There is no such figure, metric or split.
        """
        figure: FigureData = self._once(name, **options)
        return figure

    def _once(self, what: str, **options: str | None) -> Any:
        return _answer(
            self._database, self._sweep_id, self._version, what, tuple(sorted(options.items()))
        )


@lru_cache(maxsize=_KEPT)
def _answer(
    database: Database,
    sweep_id: str,
    version: tuple[object, ...],
    what: str,
    options: tuple[tuple[str, str | None], ...],
) -> Any:
    if what == "table":
        return table_of_sweep(sweep_id, database)
    table = _answer(database, sweep_id, version, "table", ())
    return _COMPUTE.get(what, _figure)(table, what, **dict(options))


def _figure(table: TrialTable, name: str, **options: str | None) -> FigureData:
    return compute_figure(name, table, **options)


def _summary(table: TrialTable, _: str) -> SweepSummary | None:
    try:
        return summarize(table)
    except NotAvailableError:
        return None


_COMPUTE: dict[str, Callable[..., Any]] = {"summary": _summary}
