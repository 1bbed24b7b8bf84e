"""Takes what MLflow says of trials into the trials table, and tells what changed as events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.events import EventKind
from service.events.repository import EventRepository
from service.execution.lease import Lease
from service.execution.results import MlflowResults, TrialRun
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.lifecycle import TERMINAL
from service.sweeps.repository import SweepRepository
from service.trials.repository import TrialRepository
from workers.metrics import RESULTS, Outcome

__all__ = ["Recorded", "TrialSync", "record_runs"]

_MOST_KEYS = 500
"""More trials than this are cheaper to read all than to name each."""


class TrialSync:
    """Keeps the trials table in step with MLflow.

    Args:
        database: Where the table is.
        results: MLflow.
        lease: What must be held to write.
    """

    def __init__(self, database: Database, results: MlflowResults, lease: Lease) -> None:
        self._database = database
        self._results = results
        self._lease = lease

    def locate(self, row: SweepRow) -> None:
        """Learn where MLflow keeps the sweep, once a driver has made its run."""
        if row.attempt and (row.mlflow_run_id is None or row.classes is None):
            parent = self._results.sweep_run(row.name, row.sweep_id)
            if parent is not None:
                row.mlflow_experiment_id = parent.experiment_id
                row.mlflow_run_id = parent.run_id
                row.classes = parent.classes

    def sync(self, row: SweepRow, *, whole: bool = False) -> None:
        """Bring the trials table up to what MLflow says.

        Runs may reach MLflow in another order than they ended in, so what ended since the last
        pass is not all that is new: trials that the table takes for running are looked up, and
        ``whole`` reads every run, once a driver is gone.
        """
        self.locate(row)
        if row.mlflow_experiment_id is None:
            return
        since = None if whole else row.synced_at
        runs = list(self._results.trial_runs(row.mlflow_experiment_id, row.sweep_id, since=since))
        if not whole:
            runs += self._late(row.sweep_id, row.mlflow_experiment_id, runs)
            runs = [run for run in runs if not _is_superseded(run, row.attempt)]
        ends = (run.ended_at for run in runs)
        newest = max(filter(None, (*ends, row.synced_at)), default=None)
        with self._database.transaction() as session:
            self._lease.guard(session)
            stored = SweepRepository(session).lock(row.sweep_id)
            if stored is None or (row.state in TERMINAL and stored.state != row.state):
                return  # deleted, or begun again
            stored.mlflow_experiment_id = row.mlflow_experiment_id
            stored.mlflow_run_id = row.mlflow_run_id
            stored.classes = row.classes
            stored.synced_at = newest or row.created_at
            session.flush()
            if record_runs(session, row.sweep_id, runs).is_progress:
                stored.failures = row.failures = 0

    def _late(self, sweep_id: str, experiment_id: str, read: Sequence[TrialRun]) -> list[TrialRun]:
        """The runs of trials that the table takes for running and MLflow no longer does."""
        with self._database.snapshot() as session:
            running = TrialRepository(session).running(sweep_id)
        missed = {trial.mlflow_run_id for trial in running} - {run.run_id for run in read}
        return self._results.runs(experiment_id, sorted(filter(None, missed)))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was new in some runs.

    Args:
        known: How many of the runs are of trials that the sweep has.
        is_progress: Whether a trial came further than ever, or to a result.
    """

    known: int
    is_progress: bool


def record_runs(
    session: Session, sweep_id: str, runs: Sequence[TrialRun], *, tell: bool = True
) -> Recorded:
    """Write what runs say into the rows of their trials.

    Args:
        session: An open transaction that holds the sweep's row.
        sweep_id: The sweep.
        runs: Of its trials.
        tell: Add the events that tell of what changed.
    """
    found = {run.key: run.identity for run in runs if run.identity is not None}
    TrialRepository(session).discover(sweep_id, found)
    before = _stored(session, sweep_id, [run.key for run in runs])
    changed = [run for run in runs if run.key in before and _differs(before[run.key], run.values)]
    is_progress = any(_is_progress(before[run.key], run.values) for run in changed)
    TrialRepository(session).record_all(sweep_id, {run.key: run.values for run in changed})
    if tell:
        EventRepository(session).append(sweep_id, *_events(before, changed))
    return Recorded(len(before), is_progress)


def _stored(session: Session, sweep_id: str, keys: Sequence[str]) -> dict[str, TrialRow]:
    query = select(TrialRow).where(TrialRow.sweep_id == sweep_id)
    if len(keys) <= _MOST_KEYS:
        query = query.where(TrialRow.key.in_(keys))
    return {row.key: row for row in session.scalars(query)}


def _differs(row: TrialRow, values: Mapping[str, Any]) -> bool:
    return any(getattr(row, column) != value for column, value in values.items())


def _is_progress(row: TrialRow, values: Mapping[str, Any]) -> bool:
    """Whether a trial came further than ever, or to a result; one that fails again did not."""
    is_result = values["outcome"] in RESULTS and row.outcome not in RESULTS
    return is_result or values["epoch"] > (row.epoch or 0)


def _events(
    before: Mapping[str, TrialRow], runs: Iterable[TrialRun]
) -> Iterator[tuple[EventKind, dict[str, Any]]]:
    """Starts and ends one by one, epochs of all trials together."""
    epochs = {}
    for run in runs:
        row, values = before[run.key], run.values
        status = values["outcome"] or "running"
        if (status, values["attempt"]) != (row.status, row.attempt):
            told = {name: values[name] for name in ("epoch", "error", "attempt")}
            data = {"key": run.key, "position": row.position, "status": status, **told}
            yield EventKind.TRIAL, data
        elif values["epoch"] != row.epoch:
            epochs[run.key] = values["epoch"]
    if epochs:
        yield EventKind.PROGRESS, {"epochs": epochs}


def _is_superseded(run: TrialRun, attempt: int) -> bool:
    """Whether a trial failed under an earlier driver: this one runs it again."""
    failed = run.values["outcome"] in {Outcome.FAILED, Outcome.CANCELLED}
    return failed and run.values["attempt"] < attempt
