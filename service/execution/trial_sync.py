"""Sync of the trials table with MLflow: updates rows, and appends events for the changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.events import EventKind
from service.events.repository import EventRepository
from service.execution.lease import Lease
from service.external.mlflow_gateway import MlflowGateway, SweepRun
from service.states import TERMINAL
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.repository import SweepRepository
from service.trials.repository import TrialRepository
from workers.metrics import RESULTS, Outcome
from workers.mlflow_schema import TrialRun

__all__ = ["Recorded", "TrialSync", "record_runs", "record_sweep_run"]

_MAX_KEYS = 500
"""With more keys than this, reading all trials is cheaper than naming each."""
_SWEEP_RUN_COLUMNS = (
    "mlflow_experiment_id",
    "mlflow_run_id",
    "classes",
    "data_notes",
    "hessian_method",
)
"""Columns of a sweep's row that `record_sweep_run` sets."""


@dataclass(frozen=True, slots=True)
class _LastPass:
    """What the last pass over a sweep read.

    Args:
        since: Latest end that was known before it.
        results: Ids of the runs with a new result; no driver runs such a trial again.
    """

    since: datetime | None
    results: frozenset[str]


class TrialSync:
    """Keeps the trials table in step with MLflow.

    Args:
        database: The database with the table.
        results: MLflow.
        lease: The leader lease, which must be held to write.
    """

    def __init__(self, database: Database, results: MlflowGateway, lease: Lease) -> None:
        self._database = database
        self._results = results
        self._lease = lease
        self._last: dict[str, _LastPass] = {}
        """By sweep that has not ended."""

    def locate(self, row: SweepRow, *, again: bool = False) -> None:
        """Read the sweep's run in MLflow into its row, once a driver has created the run.

        Args:
            row: The sweep, which is not stored here.
            again: Whether to read the run even if all that it records is known; a later driver may
                have found other data.
        """
        known = (row.mlflow_run_id, row.classes, row.data_notes)
        if row.attempt and (again or None in known):
            run = self._results.sweep_run(row.name, row.sweep_id)
            if run is not None:
                record_sweep_run(row, run)

    def sync(self, row: SweepRow, *, whole: bool = False) -> None:
        """Update the trials table from MLflow.

        Runs may reach MLflow in another order than they ended in, and while a pass reads. So a pass
        reads all that ended since the pass before the last one, but for the results that the last
        pass read (of very many, some are read again), and the runs of trials that are running by
        the table.

        Args:
            row: The sweep.
            whole: Whether to read every run, which is needed once the driver has ended.
        """
        self.locate(row, again=whole)
        if row.mlflow_experiment_id is None:
            return
        last = self._last.get(row.sweep_id, _LastPass(row.synced_at, frozenset()))
        runs = list(
            self._results.trial_runs(
                row.mlflow_experiment_id,
                row.sweep_id,
                since=None if whole else last.since,
                without=last.results,
            )
        )
        results = frozenset(
            run.run_id for run in runs if run.outcome in RESULTS and _is_since(run, row.synced_at)
        )
        if not whole:
            runs += self._late(row.sweep_id, row.mlflow_experiment_id, runs)
            runs = [run for run in runs if not _is_superseded(run, row.attempt)]
        ends = (run.ended_at for run in runs)
        newest = max(filter(None, (*ends, row.synced_at)), default=None)
        with self._database.transaction() as session:
            self._lease.guard(session)
            stored = SweepRepository(session).lock(row.sweep_id)
            if stored is None or (row.state in TERMINAL and stored.state != row.state):
                return  # deleted or restarted in the meantime
            for column in _SWEEP_RUN_COLUMNS:
                setattr(stored, column, getattr(row, column))
            stored.synced_at = newest or row.created_at
            session.flush()
            if record_runs(session, row.sweep_id, runs).is_progress:
                stored.failures = row.failures = 0
        if whole:
            self.forget(row.sweep_id)
        else:
            self._last[row.sweep_id] = _LastPass(row.synced_at, results)

    def forget(self, sweep_id: str) -> None:
        """Drop what is remembered of a sweep that has ended."""
        self._last.pop(sweep_id, None)

    def _late(self, sweep_id: str, experiment_id: str, read: Sequence[TrialRun]) -> list[TrialRun]:
        """Runs of trials that are running by the table but no longer in MLflow."""
        with self._database.snapshot() as session:
            running = TrialRepository(session).running(sweep_id)
        missed = {trial.mlflow_run_id for trial in running} - {run.run_id for run in read}
        return self._results.runs(experiment_id, sorted(filter(None, missed)))


def record_sweep_run(row: SweepRow, run: SweepRun) -> None:
    """Write a sweep's MLflow run, and the facts it records, into the sweep's row."""
    row.mlflow_experiment_id = run.experiment_id
    row.mlflow_run_id = run.run_id
    row.classes = run.classes or row.classes
    if run.data_notes is not None:
        row.data_notes = run.data_notes
        row.hessian_method = run.hessian_method


@dataclass(frozen=True, slots=True)
class Recorded:
    """Effect of recording some runs.

    Args:
        known: Number of runs that belong to trials of the sweep.
        is_progress: Whether a trial reached a new epoch or a result.
    """

    known: int
    is_progress: bool


def record_runs(
    session: Session, sweep_id: str, runs: Sequence[TrialRun], *, with_events: bool = True
) -> Recorded:
    """Write runs into the rows of their trials.

    Args:
        session: An open transaction that holds the lock of the sweep's row.
        sweep_id: The sweep.
        runs: Runs of its trials.
        with_events: Whether to append events for the changes.
    """
    found = {run.key: run.identity for run in runs if run.identity is not None}
    TrialRepository(session).discover(sweep_id, found)
    before = _stored(session, sweep_id, [run.key for run in runs])
    changed = [run for run in runs if run.key in before and _differs(before[run.key], run)]
    is_progress = any(_is_progress(before[run.key], run) for run in changed)
    TrialRepository(session).record_all(sweep_id, {run.key: _columns(run) for run in changed})
    if with_events:
        EventRepository(session).append(sweep_id, *_events(before, changed))
    return Recorded(len(before), is_progress)


def _stored(session: Session, sweep_id: str, keys: Sequence[str]) -> dict[str, TrialRow]:
    query = select(TrialRow).where(TrialRow.sweep_id == sweep_id)
    if len(keys) <= _MAX_KEYS:
        query = query.where(TrialRow.key.in_(keys))
    return {row.key: row for row in session.scalars(query)}


def _columns(run: TrialRun) -> dict[str, Any]:
    """Columns of a trial's row that follow its run; a reused trial has the original's times."""
    origin = run.origin
    times = run if origin is None else origin
    return {
        "mlflow_run_id": run.run_id,
        "outcome": run.outcome,
        "error": run.error,
        "epoch": run.epoch,
        "metrics": run.metrics,
        "attempt": run.attempt,
        "started_at": times.started_at,
        "ended_at": times.ended_at,
        "reused_from": origin and {"sweep_id": origin.sweep_id, "run_id": origin.run_id},
    }


def _differs(row: TrialRow, run: TrialRun) -> bool:
    return any(getattr(row, column) != value for column, value in _columns(run).items())


def _is_progress(row: TrialRow, run: TrialRun) -> bool:
    """Whether a trial reached a new epoch or a result; another failure is no progress."""
    is_result = run.outcome in RESULTS and row.outcome not in RESULTS
    return is_result or run.epoch > (row.epoch or 0)


def _events(
    before: Mapping[str, TrialRow], runs: Iterable[TrialRun]
) -> Iterator[tuple[EventKind, dict[str, Any]]]:
    """One event per start and end, and one event with the epochs of all trials."""
    epochs = {}
    for run in runs:
        row = before[run.key]
        status = run.outcome or "running"
        if (status, run.attempt) != (row.status, row.attempt):
            place = {"key": run.key, "position": row.position, "status": status}
            ending = {"epoch": run.epoch, "error": run.error, "attempt": run.attempt}
            yield EventKind.TRIAL, place | ending
        elif run.epoch != row.epoch:
            epochs[run.key] = run.epoch
    if epochs:
        yield EventKind.PROGRESS, {"epochs": epochs}


def _is_since(run: TrialRun, moment: datetime | None) -> bool:
    return moment is None or (run.ended_at is not None and run.ended_at >= moment)


def _is_superseded(run: TrialRun, attempt: int) -> bool:
    """Whether a trial failed under an earlier driver; the current one runs it again."""
    return run.outcome in {Outcome.FAILED, Outcome.CANCELLED} and run.attempt < attempt
