"""What the reconciler does with a sweep in each state; every step can be taken twice.

A step returns what the sweep waits for, None when nothing is in its way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from service.execution.driver_logs import DriverLogs
from service.execution.lease import Lease
from service.execution.preconditions import Obstacles
from service.execution.trial_sync import TrialSync
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import JobState, JobStatus, RayJobs, submission_id
from service.settings import Settings
from service.states import TERMINAL, SweepState
from service.storage import Database, SweepRow
from service.sweeps.lifecycle import transition
from service.sweeps.service import changed_code
from service.trials.repository import TrialRepository
from workers.code_version import code_version
from workers.failures import names_defect
from workers.job import FINAL_EXITS, DriverJob
from workers.spec import duration_seconds, read_stored

__all__ = ["SweepSteps"]

log = logging.getLogger(__name__)

_LONGEST_BACKOFF_SECONDS = 60


class SweepSteps:
    """The steps of sweeps on one cluster.

    Args:
        database: The sweeps.
        ray: The cluster that runs drivers.
        results: MLflow.
        settings: Limits and addresses.
        lease: What must be held to act.
        on_end: Told the sweep and its MLflow run, once, when a sweep has ended.
    """

    def __init__(
        self,
        database: Database,
        ray: RayJobs,
        results: MlflowGateway,
        settings: Settings,
        lease: Lease,
        on_end: Callable[[str, str | None], object] | None,
    ) -> None:
        self._database = database
        self._ray = ray
        self._results = results
        self._settings = settings
        self._lease = lease
        self._on_end = on_end
        self._trials = TrialSync(database, results, lease)
        self._logs = DriverLogs(database, ray)
        self._steps = {
            SweepState.QUEUED: self._claim,
            SweepState.STARTING: self._launch,
            SweepState.RUNNING: self._follow,
            SweepState.PAUSING: self._halt,
            SweepState.CANCELLING: self._halt,
        }

    def take(self, row: SweepRow, obstacles: Obstacles) -> str | None:
        """Take the step that a sweep's state asks for.

        Raises:
            LeaseLostError: Another service leads.
            RayUnavailableError: Ray does not answer.
            MlflowUnavailableError: MLflow does not answer.
        """
        step = self._steps.get(SweepState(row.state))
        return row.reason if step is None else step(row, obstacles)

    def _claim(self, row: SweepRow, obstacles: Obstacles) -> str | None:
        """Give a queued sweep its next attempt; the next pass launches it."""
        reason = obstacles.to_start(row.specification)
        if reason is not None:
            return reason
        with self._database.snapshot() as session:
            changed = None if row.accepts_changes else changed_code(session, row)
        if changed is not None:
            consent = f"{changed}; resume it with force to go on all the same"
            self._change(row, SweepState.PAUSED, reason=consent)
            return consent
        attempt = row.attempt + 1
        self._change(row, SweepState.STARTING, attempt=attempt, code_version=code_version())
        return None

    def _launch(self, row: SweepRow, _obstacles: Obstacles) -> str | None:
        """See that the driver of this attempt exists and wait until it runs."""
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

    def _follow(self, row: SweepRow, obstacles: Obstacles) -> str | None:
        """Take in results; react when the driver has ended."""
        job = self._ray.state(submission_id(row.sweep_id, row.attempt))
        is_over = job is None or job.status.is_over
        self._trials.sync(row, whole=is_over)
        if job is not None and job.status is JobStatus.SUCCEEDED:
            self._finish(row)
        elif is_over:
            self._recover(row, job)
        elif (reason := _overtime(row)) is not None:
            self._change(row, SweepState.CANCELLING, reason=reason)
        else:
            return obstacles.to_go_on(row.specification)
        return None

    def _halt(self, row: SweepRow, _obstacles: Obstacles) -> str | None:
        """Stop the driver, then settle in the state that was asked for."""
        name = submission_id(row.sweep_id, row.attempt)
        job = self._ray.state(name) if row.attempt else None
        if job is not None and not job.status.is_over:
            self._lease.check()
            self._ray.stop(name)
        elif row.state == SweepState.CANCELLING:
            self._keep_log(row)
            self._end(row, SweepState.CANCELLED, _overtime(row))
        else:
            self._trials.sync(row, whole=True)
            if job is not None and job.status is JobStatus.SUCCEEDED:
                self._finish(row)
            else:
                self._keep_log(row)
                self._change(row, SweepState.PAUSED)
        return None

    def _finish(self, row: SweepRow) -> None:
        """A driver that succeeded has delivered everything; say so if it has not."""
        self._keep_log(row)
        with self._database.snapshot() as session:
            counts = TrialRepository(session).count([row.sweep_id])[row.sweep_id]
        missing = counts["running"] + counts["pending"]
        if missing:
            reason = f"{missing} of {row.trial_count} trials have no result in MLflow"
            self._end(row, SweepState.FAILED, reason)
        else:
            self._change(row, SweepState.COMPLETED)

    def _end(self, row: SweepRow, state: SweepState, reason: str | None) -> None:
        """End a sweep early; none of its MLflow runs stays open."""
        self._trials.locate(row)
        if row.mlflow_experiment_id is not None:
            status = "FAILED" if state == SweepState.FAILED else "KILLED"
            self._lease.check()
            self._results.close_runs(row.mlflow_experiment_id, row.sweep_id, status)
        self._trials.sync(row, whole=True)
        self._change(row, state, reason=reason)

    def _recover(self, row: SweepRow, job: JobState | None) -> None:
        """Start a dead driver again, unless that cannot help or was tried too often."""
        self._keep_log(row)
        message = "the Ray cluster does not know the driver" if job is None else _last_line(job)
        failures = row.failures + 1
        if job is not None and (job.exit_code in FINAL_EXITS or names_defect(message)):
            self._end(row, SweepState.FAILED, message)
        elif failures >= self._settings.max_driver_attempts:
            reason = f"the driver died {failures} times without progress: {message}"
            self._end(row, SweepState.FAILED, reason)
        else:
            pause = min(2 ** (failures - 1), _LONGEST_BACKOFF_SECONDS)
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
            log.info(
                "sweep %s: %s -> %s %s", row.sweep_id, row.state, after, values.get("reason", "")
            )
            if after in TERMINAL and self._on_end is not None:
                self._on_end(row.sweep_id, row.mlflow_run_id)


def _overtime(row: SweepRow) -> str | None:
    """Why a sweep has run for too long; None when it has not."""
    limit: str | None = row.specification["limits"]["wall_clock"]
    if limit is None or row.started_at is None:
        return None
    end = row.started_at + timedelta(seconds=duration_seconds(limit))
    return f"limits.wall_clock ({limit}) was over" if datetime.now(UTC) >= end else None


def _last_line(job: JobState) -> str:
    """The driver's own last words, or Ray's."""
    lines = [line.strip() for line in job.message.splitlines() if line.strip()]
    own = [line.removeprefix("sasam: ") for line in lines if line.startswith("sasam: ")]
    return "; ".join(own) or (lines[-1] if lines else f"job {job.status}")
