"""Queries on trials; never commits."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from service.storage.tables import SweepRow, TrialRow
from service.trials.selection import HYPERPARAMETERS_TEXT, TrialFilter, TrialOrder
from workers.metrics import RESULTS, Outcome
from workers.mlflow_schema import TrialIdentity
from workers.scores import Score
from workers.spec import SweepSpec, Value

__all__ = ["BestConfiguration", "BestScore", "TrialRepository"]


class TrialRepository:
    """Trials in one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def plan(self, sweep_id: str, specification: SweepSpec) -> None:
        """Store the trials that a sweep's specification determines.

        Trials of the sweep that are stored get their positions in the specification, no more.
        """
        axes = {label: tuple(specification.axes(label)) for label in specification.labels}
        identities = {
            trial.key: TrialIdentity.of(trial, position, axes[trial.optimizer_label])
            for position, trial in enumerate(specification.trials)
        }
        stored = self._keys(sweep_id)
        self._insert(sweep_id, {key: identities[key] for key in identities if key not in stored})
        moved = {key: {"position": identities[key].position} for key in stored & identities.keys()}
        self.record_all(sweep_id, moved)

    def discover(self, sweep_id: str, identities: Mapping[str, TrialIdentity]) -> None:
        """Store trials that a search has found while the sweep runs.

        Args:
            sweep_id: Their sweep; nothing is stored if its specification determines all trials.
            identities: By key; stored trials are not changed.
        """
        sweep = self._session.get(SweepRow, sweep_id)
        if sweep is None or sweep.specification["search"]["type"] != "tpe":
            return
        stored = self._keys(sweep_id)
        found = {key: values for key, values in identities.items() if key not in stored}
        self._insert(sweep_id, found)

    def _keys(self, sweep_id: str) -> set[str]:
        """Keys of the stored trials of a sweep."""
        query = select(TrialRow.key).where(TrialRow.sweep_id == sweep_id)
        return set(self._session.scalars(query))

    def _insert(self, sweep_id: str, identities: Mapping[str, TrialIdentity]) -> None:
        fresh = {"sweep_id": sweep_id, "epoch": 0, "metrics": {}, "attempt": 0}
        rows = [{**fresh, "key": key, **asdict(found)} for key, found in identities.items()]
        if rows:
            self._session.execute(insert(TrialRow), rows)

    def get(self, sweep_id: str, key: str) -> TrialRow | None:
        """One trial; None if there is none. Text that cannot be a key is not queried."""
        return self._session.get(TrialRow, (sweep_id, key)) if key.isalnum() else None

    def of_sweep(
        self,
        sweep_id: str,
        *,
        outcome: str | None = None,
        hyperparameters: Mapping[str, Value] | None = None,
        after: tuple[int, str] = (-1, ""),
        limit: int | None = None,
    ) -> Sequence[TrialRow]:
        """Trials in the order of the specification.

        Args:
            sweep_id: Their sweep.
            outcome: Only those with this outcome; ``running`` and ``pending`` are those without.
            hyperparameters: Only those with these values of axes.
            after: Only those after this position and key.
            limit: Largest number of trials; None for all.
        """
        selection = TrialFilter(outcome, hyperparameters=hyperparameters or {})
        place = tuple_(TrialRow.position, TrialRow.key)
        query = selection.apply(select(TrialRow), sweep_id).where(place > after)
        return self._session.scalars(query.order_by(*_PLACE).limit(limit)).all()

    def find(
        self,
        sweep_id: str,
        selection: TrialFilter,
        *,
        offset: int,
        limit: int,
        order: TrialOrder | None = None,
    ) -> tuple[Sequence[TrialRow], int]:
        """A page of the trials that match, and the number of all that match.

        They come in the order of the specification unless there is another one.
        """
        query = selection.apply(select(TrialRow), sweep_id)
        total = self._session.scalar(select(func.count()).select_from(query.subquery())) or 0
        if order is not None:
            query = query.order_by(order.expression)
        page = query.order_by(*_PLACE).offset(offset).limit(limit)
        return self._session.scalars(page).all(), total

    def running(self, sweep_id: str, limit: int | None = None) -> Sequence[TrialRow]:
        """Running trials, the longest running first."""
        query = TrialFilter("running").apply(select(TrialRow), sweep_id)
        order = (TrialRow.started_at, TrialRow.position)
        return self._session.scalars(query.order_by(*order).limit(limit)).all()

    def best_scores(self, sweep_ids: Sequence[str], score: Score) -> dict[str, list[BestScore]]:
        """The best validation score of each optimizer of each sweep, best first.

        Args:
            sweep_ids: Sweeps with this score.
            score: What ranks their configurations.
        """
        place = (TrialRow.sweep_id, TrialRow.optimizer)
        mean = score.sign * _mean(score, self._guess(sweep_ids, score))
        means = (
            select(*place, mean.label("oriented"))
            .join(SweepRow, SweepRow.sweep_id == TrialRow.sweep_id)
            .where(TrialRow.sweep_id.in_(sweep_ids), _counts(score))
            .group_by(*place, HYPERPARAMETERS_TEXT)
            .having(mean.is_not(None))
            .subquery()
        )
        best = func.max(means.c.oriented)
        query = (
            select(means.c.sweep_id, means.c.optimizer, best)
            .group_by(means.c.sweep_id, means.c.optimizer)
            .order_by(best.desc())
        )
        found: dict[str, list[BestScore]] = {sweep_id: [] for sweep_id in sweep_ids}
        for sweep_id, optimizer, oriented in self._session.execute(query):
            found[sweep_id].append(BestScore(optimizer, score, score.oriented(oriented)))
        return found

    def _guess(self, sweep_ids: Sequence[str], score: Score) -> ColumnElement[float]:
        """The score of a uniform guess in the sweep of a row; null if unknown.

        It is computed here because not every database has a logarithm.
        """
        query = select(SweepRow.classes).where(SweepRow.sweep_id.in_(sweep_ids)).distinct()
        known = [classes for classes in self._session.scalars(query) if classes]
        unknown = score.guess(0.0)
        other: ColumnElement[Any] = literal(unknown) if math.isfinite(unknown) else null()
        if not known:
            return other
        return case(*((SweepRow.classes == n, score.guess(1 / n)) for n in known), else_=other)

    def best_configurations(
        self, sweep_id: str, limit: int, score: Score
    ) -> list[BestConfiguration]:
        """The configurations with the best validation score, best first."""
        mean = _mean(score, self._guess([sweep_id], score))
        place = (TrialRow.optimizer, TrialRow.learning_rate, TrialRow.weight_decay)
        query = (
            select(TrialRow.optimizer, HYPERPARAMETERS_TEXT, *place[1:], mean, func.count())
            .join(SweepRow, SweepRow.sweep_id == TrialRow.sweep_id)
            .where(TrialRow.sweep_id == sweep_id, _counts(score))
            .group_by(*place, HYPERPARAMETERS_TEXT)
            .having(mean.is_not(None))
            .order_by((score.sign * mean).desc(), *place, HYPERPARAMETERS_TEXT)
            .limit(limit)
        )
        return [
            BestConfiguration(optimizer, json.loads(text), *row)
            for optimizer, text, *row in self._session.execute(query)
        ]

    def count(self, sweep_ids: Sequence[str]) -> dict[str, Counter[str]]:
        """Trials of each sweep by outcome, with ``running`` and ``pending`` for those without.

        Trials that a search has not suggested yet are pending.
        """
        started = TrialRow.mlflow_run_id.is_not(None)
        query = (
            select(TrialRow.sweep_id, TrialRow.outcome, started, func.count())
            .where(TrialRow.sweep_id.in_(sweep_ids))
            .group_by(TrialRow.sweep_id, TrialRow.outcome, started)
        )
        counts: dict[str, Counter[str]] = {sweep_id: Counter() for sweep_id in sweep_ids}
        for sweep_id, outcome, has_run, count in self._session.execute(query):
            counts[sweep_id][outcome or ("running" if has_run else "pending")] += count
        planned = select(SweepRow.sweep_id, SweepRow.trial_count)
        for sweep_id, total in self._session.execute(
            planned.where(SweepRow.sweep_id.in_(sweep_ids))
        ):
            if total > counts[sweep_id].total():
                counts[sweep_id]["pending"] += total - counts[sweep_id].total()
        return counts

    def details(self, sweep_id: str) -> dict[str, dict[str, Any]]:
        """Stored details of the trials that have any, by key."""
        query = select(TrialRow.key, TrialRow.details).where(
            TrialRow.sweep_id == sweep_id, TrialRow.details.is_not(None)
        )
        return {key: details for key, details in self._session.execute(query) if details}

    def outcomes(self, sweep_id: str) -> tuple[tuple[str, int], ...]:
        """Number of trials of a sweep by outcome, without running ones; reads only an index."""
        query = (
            select(TrialRow.outcome, func.count())
            .where(TrialRow.sweep_id == sweep_id, TrialRow.outcome.is_not(None))
            .group_by(TrialRow.outcome)
            .order_by(TrialRow.outcome)
        )
        return tuple((str(outcome), count) for outcome, count in self._session.execute(query))

    def record(self, sweep_id: str, key: str, values: Mapping[str, Any]) -> None:
        """Write the columns of a trial that follow its MLflow run."""
        self.record_all(sweep_id, {key: values})

    def record_all(self, sweep_id: str, values_by_key: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the same columns of several trials in one statement.

        Ten thousand trials take half a second; one by one they would block other writers for five.
        """
        rows = [{"of_trial": key, **values} for key, values in values_by_key.items()]
        if rows:
            statement = (
                update(TrialRow)
                .where(TrialRow.sweep_id == sweep_id, TrialRow.key == bindparam("of_trial"))
                .values({column: bindparam(column) for column in rows[0] if column != "of_trial"})
            )
            self._session.connection().execute(statement, rows)

    def count_results(self, keys: Sequence[str]) -> int:
        """How many of these trials a sweep has trained to the end, or until they diverged."""
        found: set[str] = set()
        trained = TrialRow.outcome.in_(RESULTS), TrialRow.reused_from.is_(null())
        for at in range(0, len(keys), _KEYS_PER_QUERY):
            asked = TrialRow.key.in_(keys[at : at + _KEYS_PER_QUERY])
            found.update(self._session.scalars(select(TrialRow.key).where(asked, *trained)))
        return len(found)

    def reset_unsuccessful(self, sweep_id: str) -> None:
        """Make failed and cancelled trials pending again."""
        unsuccessful = TrialRow.outcome.in_([Outcome.FAILED, Outcome.CANCELLED])
        self._session.execute(
            update(TrialRow)
            .where(TrialRow.sweep_id == sweep_id, unsuccessful)
            .values(
                outcome=None,
                error=None,
                epoch=0,
                metrics={},
                details=None,
                mlflow_run_id=None,
                started_at=None,
                ended_at=None,
                reused_from=null(),
            )
        )


_KEYS_PER_QUERY = 10_000
"""SQLite allows 32,766 parameters."""
_PLACE = (TrialRow.position, TrialRow.key)
"""Order of the specification; a search in an extended sweep can give two trials one position."""


def _measured(score: Score) -> ColumnElement[float]:
    """Validation score of a trial."""
    measured: ColumnElement[float] = TrialRow.metrics[score.val_metric].as_float()
    return measured


def _counts(score: Score) -> ColumnElement[bool]:
    """Whether a trial counts."""
    completed = and_(TrialRow.outcome == Outcome.COMPLETED, _measured(score).is_not(None))
    return or_(TrialRow.outcome == Outcome.DIVERGED, completed)


def _mean(score: Score, guess: ColumnElement[float]) -> ColumnElement[float]:
    """Mean score of a configuration over its seeds, as in summaries: never worse than a guess."""
    measured = _measured(score)
    is_worse = score.sign * measured < score.sign * guess
    is_raised = or_(TrialRow.outcome == Outcome.DIVERGED, is_worse)
    return func.avg(case((is_raised, guess), else_=measured))


@dataclass(frozen=True, slots=True)
class BestScore:
    """An optimizer's best validation score: the mean over seeds of its best configuration."""

    optimizer: str
    score: Score
    value: float


@dataclass(frozen=True, slots=True)
class BestConfiguration:
    """A configuration with its mean validation score over the seeds that completed."""

    optimizer: str
    hyperparameters: Mapping[str, Any]
    learning_rate: float | None
    weight_decay: float | None
    value: float
    seeds: int
