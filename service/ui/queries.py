"""What the pages ask the database beyond what the API does; never commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from service.events.repository import EventKind
from service.storage import EventRow, SweepRow, TrialRow
from service.sweeps.lifecycle import SweepState
from workers.metrics import Outcome

__all__ = [
    "Best",
    "BestConfiguration",
    "TrialFilter",
    "best_accuracies",
    "best_configurations",
    "count_trials",
    "find_sweeps",
    "find_trials",
    "latest_events",
    "running_trials",
]


@dataclass(frozen=True, slots=True)
class Best:
    """An optimizer's best validation accuracy: the mean over seeds of its best configuration."""

    optimizer: str
    accuracy: float


@dataclass(frozen=True, slots=True)
class BestConfiguration:
    """A configuration with its mean validation accuracy over the seeds that completed."""

    optimizer: str
    learning_rate: float
    weight_decay: float
    accuracy: float
    seeds: int


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """Which trials of a sweep to show; None is all."""

    status: str | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None

    def apply(self, query: Select[Any], sweep_id: str) -> Select[Any]:
        """The query with its conditions."""
        query = query.where(TrialRow.sweep_id == sweep_id)
        started = TrialRow.mlflow_run_id.is_not(None)
        if self.status in {"running", "pending"}:
            has_run = started if self.status == "running" else ~started
            query = query.where(TrialRow.outcome.is_(None), has_run)
        elif self.status is not None:
            query = query.where(TrialRow.outcome == self.status)
        for column in ("optimizer", "learning_rate", "weight_decay"):
            wanted = getattr(self, column)
            if wanted is not None:
                query = query.where(getattr(TrialRow, column) == wanted)
        return query


def find_sweeps(
    session: Session, *, states: Sequence[SweepState], text: str, offset: int, limit: int
) -> tuple[list[str], int]:
    """Ids of the newest sweeps that match, and how many match in all.

    Args:
        session: An open transaction.
        states: Only sweeps in these states; all where empty.
        text: Part of the name, or the beginning of the id.
        offset: Skip so many.
        limit: At most so many.
    """
    query = select(SweepRow.sweep_id)
    if states:
        query = query.where(SweepRow.state.in_(states))
    if text:
        named = func.lower(SweepRow.name).contains(text.lower(), autoescape=True)
        query = query.where(or_(named, SweepRow.sweep_id.startswith(text, autoescape=True)))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    order = (SweepRow.created_at.desc(), SweepRow.sweep_id.desc())
    return list(session.scalars(query.order_by(*order).offset(offset).limit(limit))), total


def best_accuracies(session: Session, sweep_ids: Sequence[str]) -> dict[str, list[Best]]:
    """The best validation accuracy of each optimizer of each sweep, best first."""
    configurations = (
        select(
            TrialRow.sweep_id,
            TrialRow.optimizer,
            func.avg(TrialRow.metrics["val_accuracy"].as_float()).label("accuracy"),
        )
        .where(TrialRow.sweep_id.in_(sweep_ids), TrialRow.outcome == Outcome.COMPLETED)
        .group_by(
            TrialRow.sweep_id, TrialRow.optimizer, TrialRow.learning_rate, TrialRow.weight_decay
        )
        .subquery()
    )
    best = func.max(configurations.c.accuracy)
    query = (
        select(configurations.c.sweep_id, configurations.c.optimizer, best)
        .group_by(configurations.c.sweep_id, configurations.c.optimizer)
        .order_by(best.desc())
    )
    found: dict[str, list[Best]] = {sweep_id: [] for sweep_id in sweep_ids}
    for sweep_id, optimizer, accuracy in session.execute(query):
        if accuracy is not None:
            found[sweep_id].append(Best(optimizer, accuracy))
    return found


def best_configurations(session: Session, sweep_id: str, limit: int) -> list[BestConfiguration]:
    """The configurations with the best validation accuracy, best first."""
    accuracy = func.avg(TrialRow.metrics["val_accuracy"].as_float())
    place = (TrialRow.optimizer, TrialRow.learning_rate, TrialRow.weight_decay)
    query = (
        select(*place, accuracy, func.count())
        .where(TrialRow.sweep_id == sweep_id, TrialRow.outcome == Outcome.COMPLETED)
        .group_by(*place)
        .having(accuracy.is_not(None))
        .order_by(accuracy.desc(), *place)
        .limit(limit)
    )
    return [BestConfiguration(*row) for row in session.execute(query)]


def latest_events(
    session: Session, sweep_id: str, *, limit: int, all_trials: bool, before: int | None = None
) -> Sequence[EventRow]:
    """What happened to a sweep but for the epochs of its trials, newest first.

    Args:
        session: An open transaction.
        sweep_id: The sweep.
        limit: At most so many.
        all_trials: What happened to any trial; else only to those that failed.
        before: Only events before the one of this number.
    """
    is_trial = EventRow.kind == EventKind.TRIAL
    if not all_trials:
        is_trial &= EventRow.data["status"].as_string() == Outcome.FAILED
    others = (EventKind.STATE, EventKind.REASON, EventKind.REPAIRED)
    query = select(EventRow).where(
        EventRow.sweep_id == sweep_id, or_(EventRow.kind.in_(others), is_trial)
    )
    if before is not None:
        query = query.where(EventRow.number < before)
    return session.scalars(query.order_by(EventRow.number.desc()).limit(limit)).all()


def running_trials(session: Session, sweep_id: str, limit: int | None = None) -> Sequence[TrialRow]:
    """Trials that run now, the longest running first."""
    query = TrialFilter("running").apply(select(TrialRow), sweep_id)
    return session.scalars(
        query.order_by(TrialRow.started_at, TrialRow.position).limit(limit)
    ).all()


def count_trials(session: Session, sweep_id: str, wanted: TrialFilter) -> int:
    """How many trials match."""
    query = wanted.apply(select(TrialRow), sweep_id).subquery()
    return session.scalar(select(func.count()).select_from(query)) or 0


def find_trials(
    session: Session, sweep_id: str, wanted: TrialFilter, *, offset: int, limit: int
) -> Sequence[TrialRow]:
    """Trials that match, in the order of the specification."""
    query = wanted.apply(select(TrialRow), sweep_id).order_by(TrialRow.position)
    return session.scalars(query.offset(offset).limit(limit)).all()
