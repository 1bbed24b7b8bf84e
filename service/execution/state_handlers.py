"""State handlers: one idempotent step of a sweep per state, called by the reconciler.

A handler returns what the sweep waits for, or None if it does not wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from service.execution.driver_logs import DriverLogs
from service.execution.lease import Lease
from service.execution.preconditions import Preconditions
from service.execution.trial_sync import TrialSync
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import JobState, JobStatus, RayJobs, submission_id
from service.settings import Settings
from service.states import TERMINAL, SweepState
from service.storage import Database, SweepRow
from service.sweeps.code_changes import changed_code
from service.sweeps.lifecycle import transition
from service.sweeps.repository import SweepRepository
from service.trials.repository import TrialRepository
from workers.code_version import code_version
from workers.failures import names_defect
from workers.job import FINAL_EXITS, FORCE_HINT, DriverJob
from workers.spec import duration_seconds, read_stored

__all__ = ["StateHandlers"]

log = logging.getLogger(__name__)

_MAX_BACKOFF_SECONDS = 60


class StateHandlers:
    """Handlers of the states of sweeps on one cluster.

    Args:
        database: The sweeps.
        ray: The cluster that runs drivers.
        results: MLflow.
        settings: Limits and addresses.
        lease: The leader lease, which must be held to act.
        on_end: Called once per end of a sweep, with the sweep's id and its MLflow run.
        on_change: Called after a sweep has changed its state, for the next step to follow at once.
    """

    def __init__(
        self,
        database: Database,
        ray: RayJobs,
        results: MlflowGateway,
        settings: Settings,
        lease: Lease,
        on_end: Callable[[str, str | None], object] | None,
        on_change: Callable[[], object],
    ) -> None:
        self._database = database
        self._ray = ray
        self._results = results
        self._settings = settings
        self._lease = lease
        self._on_end = on_end
        self._on_change = on_change
        self._trials = TrialSync(database, results, lease)
        self._logs = DriverLogs(database, ray)
        self._handlers = {
            SweepState.QUEUED: self._claim,
            SweepState.STARTING: self._launch,
            SweepState.RUNNING: self._follow,
            SweepState.PAUSING: self._halt,
            SweepState.CANCELLING: self._halt,
        }

    def handle(self, row: SweepRow, preconditions: Preconditions) -> str | None:
        """Take the step of a sweep's state.

        Returns:
            What the sweep waits for; None if it does not wait.

        Raises:
            LeaseLostError: Another service is the leader.
            RayUnavailableError: Ray does not answer.
            MlflowUnavailableError: MLflow does not answer.
        """
        handler = self._handlers.get(SweepState(row.state))
        return row.reason if handler is None else handler(row, preconditions)

    def _claim(self, row: SweepRow, preconditions: Preconditions) -> str | None:
        """Give a queued sweep its next attempt; the next pass launches it."""
        reason = preconditions.to_start(row.specification)
        if reason is not None:
            return reason
        with self._database.snapshot() as session:
            changed = None if row.accepts_changes else changed_code(session, row)
        if changed is not None:
            consent = f"{changed}; resume it {FORCE_HINT}"
            self._change(row, SweepState.PAUSED, reason=consent)
            return consent
        attempt = row.attempt + 1
        self._change(row, SweepState.STARTING, attempt=attempt, code_version=code_version())
        return None

    def _launch(self, row: SweepRow, _preconditions: Preconditions) -> str | None:
        """Start the driver of this attempt if it does not exist, and wait until it runs."""
        job = self._ray.state(submission_id(row.sweep_id, row.attempt))
        if job is None:
            driver = self._driver_job(row)
            self._lease.check()
            self._ray.submit(driver)
        elif job.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}:
            started_at = row.started_at or datetime.now(UTC)
            self._change(row, SweepState.RUNNING, started_at=started_at)
        elif job.status.is_over:
            self._recover(row, job)
        return None

    def _follow(self, row: SweepRow, preconditions: Preconditions) -> str | None:
        """Sync results; finish or restart the sweep when its driver has ended."""
        job = self._ray.state(submission_id(row.sweep_id, row.attempt))
        is_over = job is None or job.status.is_over
        if job is not None and job.status is JobStatus.SUCCEEDED:
            self._finish(row)
            return None
        self._trials.sync(row, whole=is_over)
        if is_over:
            self._recover(row, job)
        elif (reason := _overtime(row)) is not None:
            self._change(row, SweepState.CANCELLING, reason=reason)
        else:
            return preconditions.to_continue(row.specification)
        return None

    def _halt(self, row: SweepRow, _preconditions: Preconditions) -> str | None:
        """Stop the driver, then change to the requested state."""
        name = submission_id(row.sweep_id, row.attempt)
        job = self._ray.state(name) if row.attempt else None
        if job is not None and not job.status.is_over:
            self._lease.check()
            self._ray.stop(name)
        elif row.state == SweepState.CANCELLING:
            self._keep_log(row)
            self._end(row, SweepState.CANCELLED, _overtime(row))
        elif job is not None and job.status is JobStatus.SUCCEEDED:
            self._finish(row)
        else:
            self._trials.sync(row, whole=True)
            self._keep_log(row)
            self._change(row, SweepState.PAUSED)
        return None

    def _finish(self, row: SweepRow) -> None:
        """Complete a sweep whose driver succeeded; fail it if results were not delivered.

        A sweep that was extended during this attempt is queued, or paused if it is to pause: its
        driver did not know the new trials.
        """
        self._keep_log(row)
        self._sync_rest(row)
        is_pausing = row.state == SweepState.PAUSING
        with self._database.transaction() as session:
            self._lease.guard(session)
            stored = SweepRepository(session).lock(row.sweep_id)  # no extension until it is changed
            if stored is None:
                return
            missing = _missing(session, row)
            if not missing:
                after = SweepState.COMPLETED
            elif stored.extended_in == row.attempt:
                after = SweepState.PAUSED if is_pausing else SweepState.QUEUED
            else:
                after = SweepState.FAILED
            if after != SweepState.FAILED:
                changed = transition(session, row.sweep_id, SweepState(row.state), after)
        if after == SweepState.FAILED:
            reason = f"{missing} of {stored.trial_count} trials have no result in MLflow"
            self._end(row, after, reason)
        elif changed:
            self._announce(row, after)

    def _sync_rest(self, row: SweepRow) -> None:
        """Sync the results since the last pass, or all of them if that may not be enough.

        It is not if a result is missing, or if an earlier driver ended trials that this one ran
        again: their runs have changed, in any order.
        """
        is_whole = row.attempt > 1
        if not is_whole:
            self._trials.locate(row, again=True)
            self._trials.sync(row)
            with self._database.snapshot() as session:
                is_whole = _missing(session, row) > 0
        if is_whole:
            self._trials.sync(row, whole=True)

    def _end(self, row: SweepRow, state: SweepState, reason: str | None) -> None:
        """End a sweep early, and close its MLflow runs."""
        self._trials.locate(row)
        if row.mlflow_experiment_id is not None:
            status = "FAILED" if state == SweepState.FAILED else "KILLED"
            self._lease.check()
            self._results.close_runs(row.mlflow_experiment_id, row.sweep_id, status)
        self._trials.sync(row, whole=True)
        self._change(row, state, reason=reason)

    def _recover(self, row: SweepRow, job: JobState | None) -> None:
        """Queue the next attempt after a driver died, or fail the sweep.

        It fails if another attempt would meet the same error, or too many died without progress.
        """
        self._keep_log(row)
        message = "the Ray cluster does not know the driver" if job is None else _last_line(job)
        failures = row.failures + 1
        if job is not None and (job.exit_code in FINAL_EXITS or names_defect(message)):
            self._end(row, SweepState.FAILED, message)
        elif failures >= self._settings.max_driver_attempts:
            reason = f"the driver died {failures} times without progress: {message}"
            self._end(row, SweepState.FAILED, reason)
        else:
            pause = min(2 ** (failures - 1), _MAX_BACKOFF_SECONDS)
            self._change(
                row,
                SweepState.QUEUED,
                failures=failures,
                not_before=datetime.now(UTC) + timedelta(seconds=pause),
                reason=f"driver {row.attempt} died ({message}); the next one starts in {pause} s",
            )

    def _keep_log(self, row: SweepRow) -> None:
        if row.attempt:
            self._logs.keep(row.sweep_id, row.attempt, self._lease)

    def _driver_job(self, row: SweepRow) -> DriverJob:
        settings = self._settings
        uri = settings.mlflow_tracking_uri_for_workers or settings.mlflow_tracking_uri
        return DriverJob(
            sweep_id=row.sweep_id,
            attempt=row.attempt,
            specification=read_stored(row.specification),
            mlflow_tracking_uri=str(uri).rstrip("/"),
            storage_path=settings.resolved_storage_path,
            scratch_path=settings.resolved_scratch_path,
            data_dir=str(settings.resolved_data_dir),
            accepts_changes=row.accepts_changes,
        )

    def _change(self, row: SweepRow, after: SweepState, **values: object) -> None:
        """One transition in a transaction of its own."""
        with self._database.transaction() as session:
            self._lease.guard(session)
            changed = transition(session, row.sweep_id, SweepState(row.state), after, **values)
        if changed:
            self._announce(row, after, values.get("reason", ""))

    def _announce(self, row: SweepRow, after: SweepState, reason: object = "") -> None:
        """Log and report a transition."""
        log.info("sweep %s: %s -> %s %s", row.sweep_id, row.state, after, reason)
        self._on_change()
        if after in TERMINAL:
            self._trials.forget(row.sweep_id)
            if self._on_end is not None:
                self._on_end(row.sweep_id, row.mlflow_run_id)


def _missing(session: Session, row: SweepRow) -> int:
    """Number of trials without a result."""
    counts = TrialRepository(session).count([row.sweep_id])[row.sweep_id]
    return counts["running"] + counts["pending"]


def _overtime(row: SweepRow) -> str | None:
    """The reason if a sweep has exceeded its time limit, else None."""
    limit: str | None = row.specification["limits"]["wall_clock"]
    if limit is None or row.started_at is None:
        return None
    end = row.started_at + timedelta(seconds=duration_seconds(limit))
    return f"limits.wall_clock ({limit}) was exceeded" if datetime.now(UTC) >= end else None


def _last_line(job: JobState) -> str:
    """The last messages of the driver itself, or else Ray's."""
    lines = [line.strip() for line in job.message.splitlines() if line.strip()]
    own = [line.removeprefix("sasam: ") for line in lines if line.startswith("sasam: ")]
    return "; ".join(own) or (lines[-1] if lines else f"job {job.status}")
