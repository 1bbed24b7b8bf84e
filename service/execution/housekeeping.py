"""Housekeeping: stops orphaned drivers and deletes old events, periodically.

A driver is an orphan if its sweep has ended, is paused, or has a later driver. This happens when
the answer to a submission was lost, the sweep was cancelled while the cluster did not know the job
yet, and the job appeared after that.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from service.events.repository import EventRepository
from service.execution.lease import Lease
from service.execution.trial_sync import TrialSync
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import JobState, RayJobs, parse_submission_id
from service.settings import Settings
from service.states import TERMINAL, WITH_DRIVER, SweepState
from service.storage import Database, SweepRow
from service.sweeps.repository import SweepRepository

__all__ = ["Housekeeping"]

log = logging.getLogger(__name__)


class Housekeeping:
    """Cleans up after the reconciler.

    Args:
        database: The sweeps.
        ray: The cluster.
        results: MLflow.
        settings: Settings, with the age at which events are deleted.
        lease: The leader lease, which must be held to act.
    """

    def __init__(
        self,
        database: Database,
        ray: RayJobs,
        results: MlflowGateway,
        settings: Settings,
        lease: Lease,
    ) -> None:
        self._database = database
        self._ray = ray
        self._results = results
        self._settings = settings
        self._lease = lease
        self._trials = TrialSync(database, results, lease)

    def clean(self) -> None:
        """Delete old events, stop orphaned drivers, and close the runs they left open.

        Raises:
            LeaseLostError: Another service leads.
            RayUnavailableError: Ray does not answer.
            MlflowUnavailableError: MLflow does not answer.
        """
        self._delete_old_events()
        self._stop_orphans()

    def _delete_old_events(self) -> None:
        age = timedelta(days=self._settings.keep_events_days)
        with self._database.transaction() as session:
            self._lease.guard(session)
            EventRepository(session).forget_ended(datetime.now(UTC) - age)

    def _stop_orphans(self) -> None:
        """Stop orphaned drivers; close the runs of those that have ended."""
        drivers = self._ray.drivers()  # before the sweeps, whose drivers may start in between
        owners = {name: parse_submission_id(name) or ("", 0) for name in drivers}
        with self._database.snapshot() as session:
            rows = SweepRepository(session).of_ids({sweep_id for sweep_id, _ in owners.values()})
        for name, job in drivers.items():
            sweep_id, attempt = owners[name]
            row = rows.get(sweep_id)
            if row is None:
                continue  # it may be another service's
            if not job.status.is_over:
                if attempt < row.attempt or row.state not in WITH_DRIVER:
                    log.warning("stopping the orphaned driver %s", name)
                    self._lease.check()
                    self._ray.stop(name)
            elif _ended_late(row, job):
                self._close(row, job)

    def _close(self, row: SweepRow, job: JobState) -> None:
        """Close the MLflow runs of a driver that ended after its sweep; correct the sweep's end."""
        self._lease.check()
        self._trials.locate(row)
        if row.mlflow_experiment_id is not None:
            status = "FAILED" if row.state == SweepState.FAILED else "KILLED"
            self._results.close_runs(row.mlflow_experiment_id, row.sweep_id, status)
            self._trials.sync(row, whole=True)
        with self._database.transaction() as session:
            self._lease.guard(session)
            stored = SweepRepository(session).lock(row.sweep_id)
            if stored is not None and stored.state in TERMINAL:
                stored.ended_at = row.ended_at = job.ended_at


def _ended_late(row: SweepRow, job: JobState) -> bool:
    return (
        row.state in TERMINAL
        and row.ended_at is not None
        and job.ended_at is not None
        and job.ended_at > row.ended_at
    )
