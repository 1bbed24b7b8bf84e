"""Queries on sweeps; never commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, func, or_, select
from sqlalchemy.orm import Session

from service.states import LIVE, TERMINAL, SweepState
from service.storage.tables import SweepRow, TrialRow
from service.sweeps.selection import SweepOrder, SweepSelection
from workers.metrics import Outcome

__all__ = ["SweepRepository"]

_COMPARABLE_SWEEPS = 50
_COMPARABLE_TRIALS = 1_000
_SWEEPS_WITH_CHOICES = 500
_SUBMITTERS = 0x7375626D
"""First part of the keys of the advisory locks of submitters: "subm" in ASCII."""


class SweepRepository:
    """Sweeps in one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: SweepRow) -> None:
        """Store a new sweep."""
        self._session.add(row)
        self._session.flush()

    def get(self, sweep_id: str) -> SweepRow | None:
        """The sweep with an id; None if there is none. Text that cannot be an id is not queried."""
        return self._session.get(SweepRow, sweep_id) if sweep_id.isalnum() else None

    def lock(self, sweep_id: str) -> SweepRow | None:
        """The sweep with an id, locked until the transaction ends; None if there is none."""
        if not sweep_id.isalnum():
            return None
        return self._session.get(SweepRow, sweep_id, with_for_update=True, populate_existing=True)

    def of_ids(self, sweep_ids: Iterable[str]) -> dict[str, SweepRow]:
        """The sweeps that exist, by id."""
        query = select(SweepRow).where(SweepRow.sweep_id.in_(list(sweep_ids)))
        return {row.sweep_id: row for row in self._session.scalars(query)}

    def lock_submitter(self, creator: str) -> None:
        """Make other transactions of this submitter wait until this one ends.

        SQLite has one writing transaction at a time anyway.
        """
        if self._session.get_bind().dialect.name == "postgresql":
            lock = func.pg_advisory_xact_lock(_SUBMITTERS, func.hashtext(creator))
            self._session.execute(select(lock))

    def count_unfinished(self, creator: str) -> tuple[int, int]:
        """Numbers of a submitter's unfinished sweeps and of their unfinished trials."""
        live = (SweepRow.creator == creator) & SweepRow.state.in_(LIVE)
        planned = select(func.count(), func.coalesce(func.sum(SweepRow.trial_count), 0))
        sweeps, trials = self._session.execute(planned.where(live)).one()
        ended = select(func.count()).where(
            TrialRow.sweep_id.in_(select(SweepRow.sweep_id).where(live)),
            TrialRow.outcome.is_not(None),
        )
        return sweeps, trials - (self._session.scalar(ended) or 0)

    def find_by_idempotency_key(self, key: str) -> SweepRow | None:
        """The sweep submitted with a key, which is a ``scoped_key``; None if there is none."""
        return self._session.scalar(select(SweepRow).where(SweepRow.idempotency_key == key))

    def page(
        self,
        selection: SweepSelection,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> Sequence[SweepRow]:
        """The selected sweeps, newest first.

        Args:
            selection: Which sweeps.
            before: Creation time and id of the last sweep of the previous page.
            limit: Largest number of sweeps.
        """
        query = select(SweepRow).where(selection.condition).order_by(*SweepOrder.NEWEST.columns)
        if before is not None:
            moment, sweep_id = before
            query = query.where(
                or_(
                    SweepRow.created_at < moment,
                    (SweepRow.created_at == moment) & (SweepRow.sweep_id < sweep_id),
                )
            )
        return self._session.scalars(query.limit(limit)).all()

    def search(
        self,
        selection: SweepSelection,
        *,
        order: SweepOrder = SweepOrder.NEWEST,
        offset: int = 0,
        limit: int,
    ) -> tuple[Sequence[SweepRow], int]:
        """The selected sweeps in an order, and the number of all that match.

        Args:
            selection: Which sweeps.
            order: Their order.
            offset: Number of sweeps to skip.
            limit: Largest number of sweeps.
        """
        query = select(SweepRow).where(selection.condition)
        total = self._session.scalar(select(func.count()).select_from(query.subquery())) or 0
        page = query.order_by(*order.columns).offset(offset).limit(limit)
        return self._session.scalars(page).all(), total

    def choices(self) -> dict[str, list[str]]:
        """Models, data sets, creators and tags of the newest sweeps, each sorted."""
        specification = SweepRow.specification
        query = select(
            specification["model"]["name"].as_string(),
            specification["dataset"]["name"].as_string(),
            SweepRow.creator,
            SweepRow.tags,
        )
        query = query.order_by(*SweepOrder.NEWEST.columns).limit(_SWEEPS_WITH_CHOICES)
        found: dict[str, set[str]] = {"model": set(), "dataset": set(), "creator": set()}
        tagged = set[str]()
        for *values, tags in self._session.execute(query):
            for kind, value in zip(found.values(), values, strict=True):
                kind.update([value] if value else [])
            tagged.update(f"{name}={value}" for name, value in tags.items())
        return {name: sorted(values) for name, values in {**found, "tag": tagged}.items()}

    def live(self) -> Sequence[SweepRow]:
        """Sweeps that have not ended, by descending priority, then by creation."""
        query = select(SweepRow).where(SweepRow.state.in_(LIVE))
        order = (SweepRow.priority.desc(), SweepRow.created_at, SweepRow.sweep_id)
        return self._session.scalars(query.order_by(*order)).all()

    def ended_since(self, moment: datetime) -> Sequence[SweepRow]:
        """Sweeps that ended after a given time, oldest first."""
        query = select(SweepRow).where(SweepRow.ended_at > moment)
        return self._session.scalars(query.order_by(SweepRow.ended_at)).all()

    def comparable(self, model: str, dataset: str) -> Sequence[SweepRow]:
        """The newest sweeps of a model and a data set, given by name."""
        specification = SweepRow.specification
        query = (
            select(SweepRow)
            .where(
                specification["model"]["name"].as_string() == model,
                specification["dataset"]["name"].as_string() == dataset,
            )
            .order_by(SweepRow.created_at.desc())
            .limit(_COMPARABLE_SWEEPS)
        )
        return self._session.scalars(query).all()

    def completed_trials(self, sweep_ids: Sequence[str]) -> Sequence[TrialRow]:
        """The newest trials that some sweeps have completed themselves."""
        completed = (TrialRow.outcome == Outcome.COMPLETED) & TrialRow.reused_from.is_(None)
        query = (
            select(TrialRow)
            .where(TrialRow.sweep_id.in_(sweep_ids), completed)
            .order_by(TrialRow.ended_at.desc())
        )
        return self._session.scalars(query.limit(_COMPARABLE_TRIALS)).all()

    def count_reused(self, sweep_ids: Sequence[str]) -> Counter[str]:
        """Number of trials of each sweep whose result another sweep computed."""
        return self._count_trials(sweep_ids, TrialRow.reused_from.is_not(None))

    def count_ended_since_start(self, sweep_ids: Sequence[str]) -> Counter[str]:
        """Number of trials that each sweep has run to their end since its latest start."""
        ended = TrialRow.ended_at >= SweepRow.started_at
        reused = TrialRow.reused_from.is_not(None)
        # Each count reads one index; a negated condition would read the rows.
        return self._count_trials(sweep_ids, ended) - self._count_trials(sweep_ids, ended, reused)

    def _count_trials(
        self, sweep_ids: Sequence[str], *conditions: ColumnElement[bool]
    ) -> Counter[str]:
        """Number of trials of each sweep that meet the conditions."""
        query = (
            select(TrialRow.sweep_id, func.count().label("trials"))
            .join(SweepRow, SweepRow.sweep_id == TrialRow.sweep_id)
            .where(TrialRow.sweep_id.in_(sweep_ids), *conditions)
            .group_by(TrialRow.sweep_id)
        )
        return Counter({row.sweep_id: row.trials for row in self._session.execute(query)})

    def count_by_state(self) -> dict[SweepState, int]:
        """Number of sweeps in each state."""
        query = select(SweepRow.state, func.count()).group_by(SweepRow.state)
        return {SweepState(state): count for state, count in self._session.execute(query)}

    def remove(self, sweep_id: str) -> bool:
        """Delete a sweep and its trials if it has ended; returns whether it had."""
        ended = (SweepRow.sweep_id == sweep_id) & SweepRow.state.in_(TERMINAL)
        statement = delete(SweepRow).where(ended)
        return cast(CursorResult[Any], self._session.execute(statement)).rowcount == 1
