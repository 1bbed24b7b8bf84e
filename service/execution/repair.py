"""Repair: rebuilds the trials of a sweep, and lost sweeps, from MLflow.

The MLflow run of a sweep has its id, attempt, facts and, as an artifact, its specification; the run
of a trial has the trial. Only the database has idempotency keys, creators, events, logs of drivers
and the time of submission, so these stay lost; a sweep that was deleted on purpose comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from sqlalchemy import delete

from service.events import EventKind
from service.events.repository import EventRepository
from service.execution.trial_sync import record_runs, record_sweep_run
from service.external.mlflow_gateway import MlflowGateway, SweepRecord
from service.external.ray_jobs import RayJobs, submission_id
from service.states import SweepState
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.repository import SweepRepository
from service.sweeps.schemas import RepairView
from service.sweeps.service import require_sweep
from service.sweeps.stored_specifications import specification_hash
from service.trials.repository import TrialRepository
from workers.mlflow_schema import Artifact, TrialRun
from workers.spec import SpecError, parse_spec, read_stored

__all__ = ["Repair"]

log = logging.getLogger(__name__)

_STATES = {
    "FINISHED": SweepState.COMPLETED,
    "FAILED": SweepState.FAILED,
    "KILLED": SweepState.CANCELLED,
}


class Repair:
    """Repairs a database from MLflow.

    Args:
        database: The database to repair.
        ray: The cluster, which knows the running drivers.
        results: MLflow.
    """

    def __init__(self, database: Database, ray: RayJobs, results: MlflowGateway) -> None:
        self._database = database
        self._ray = ray
        self._results = results

    def trials(self, sweep_id: str) -> RepairView:
        """Rebuild the trials of a sweep.

        Raises:
            NotFoundProblem: There is no sweep of that id.
            MlflowUnavailableError: MLflow does not answer.
        """
        while (view := self._rebuild(sweep_id)) is None:
            log.info("sweep %s changed its state during the repair; repeating it", sweep_id)
        return view

    def _rebuild(self, sweep_id: str) -> RepairView | None:
        """Rebuild the rows; None if the sweep changed its state meanwhile, so rows may be newer."""
        with self._database.snapshot() as session:
            row = require_sweep(session, sweep_id)
        found = self._results.sweep_run(row.name, sweep_id)
        runs: list[TrialRun] = []
        if found is not None:
            runs += self._results.trial_runs(found.experiment_id, sweep_id)
        with self._database.transaction() as session:
            stored = SweepRepository(session).lock(sweep_id) or require_sweep(session, sweep_id)
            if stored.state != row.state:
                return None
            stored.synced_at = None  # the next pass reads everything
            if found is not None:
                record_sweep_run(stored, found)
            session.flush()
            session.execute(delete(TrialRow).where(TrialRow.sweep_id == sweep_id))
            trials = TrialRepository(session)
            trials.plan(sweep_id, read_stored(stored.specification))
            known = record_runs(session, sweep_id, runs, with_events=False).known
            EventRepository(session).append(sweep_id, (EventKind.REPAIRED, {"trials": known}))
        return RepairView(sweeps=[sweep_id], trials=known)

    def sweeps(self) -> RepairView:
        """Restore the sweeps that only MLflow knows, with their trials.

        A sweep whose driver runs continues; an unfinished sweep without a driver is paused.

        Raises:
            MlflowUnavailableError: MLflow does not answer.
            RayUnavailableError: Ray does not answer.
        """
        restored, trials, problems = [], 0, []
        for record in self._lost_sweeps():
            try:
                self._restore(record)
            except SpecError as error:
                problems.append(f"{record.sweep_id}: {error}")
                continue
            trials += self.trials(record.sweep_id).trials
            restored.append(record.sweep_id)
        return RepairView(sweeps=restored, trials=trials, problems=problems)

    def _lost_sweeps(self) -> Iterator[SweepRecord]:
        for record in self._results.sweeps():
            with self._database.snapshot() as session:
                known = SweepRepository(session).get(record.sweep_id)
            if known is None:
                yield record

    def _restore(self, record: SweepRecord) -> None:
        """Store the row of a sweep from its record in MLflow.

        Raises:
            SpecError: The specification is missing, or this release cannot read it.
        """
        text = self._results.artifact_text(record.run.run_id, Artifact.SPECIFICATION)
        specification = read_stored(parse_spec(text or ""))
        plain = specification.model_dump(mode="json")
        state = self._state(record)
        with self._database.transaction() as session:
            row = SweepRow(
                sweep_id=record.sweep_id,
                name=specification.name,
                specification=plain,
                tags=specification.tags,
                state=state,
                reason="restored from MLflow; resume it to continue" if state == "paused" else None,
                priority=specification.priority,
                attempt=record.attempt,
                failures=0,
                trial_count=specification.trial_count,
                body_hash=specification_hash(plain),
                created_at=record.started_at,
                started_at=record.started_at,
                ended_at=record.ended_at,
            )
            SweepRepository(session).add(row)
            creation = {
                "state": state,
                "before": None,
                "reason": row.reason,
                "attempt": row.attempt,
            }
            EventRepository(session).append(row.sweep_id, (EventKind.STATE, creation))

    def _state(self, record: SweepRecord) -> SweepState:
        if record.status in _STATES:
            return _STATES[record.status]
        job = self._ray.state(submission_id(record.sweep_id, record.attempt))
        return SweepState.PAUSED if job is None or job.status.is_over else SweepState.RUNNING
