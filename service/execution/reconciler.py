"""The reconciler: a loop that makes what is wanted real.

Each pass reads the live sweeps and takes, for each, the one step its state asks for. It keeps
nothing in memory: killed between any two statements, the next pass goes on from the database, Ray
and MLflow. Every step can be taken twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from service.execution.ray_jobs import (
    JobState,
    JobStatus,
    RayJobs,
    RayUnavailableError,
    submission_id,
)
from service.execution.results import MlflowResults, MlflowUnavailableError, TrialRun
from service.settings import Settings
from service.storage import Database, SweepRow
from service.sweeps.lifecycle import TERMINAL, SweepState, transition
from service.sweeps.repository import SweepRepository
from service.trials.repository import TrialRepository
from workers.job import EXIT_INVALID, EXIT_TOO_MANY_FAILURES, DriverJob
from workers.metrics import Outcome
from workers.spec import SweepSpec, duration_seconds

__all__ = ["Reconciler"]

log = logging.getLogger(__name__)

_OCCUPYING = {SweepState.STARTING, SweepState.RUNNING, SweepState.PAUSING, SweepState.CANCELLING}
_LONGEST_BACKOFF_SECONDS = 60


class Reconciler:
    """Drives every live sweep towards its end.

    Args:
        database: The sweeps.
        ray: The cluster that runs drivers.
        results: MLflow.
        settings: Limits and addresses.
        on_end: Told the sweep and its MLflow run, once, when a sweep has ended.
    """

    def __init__(
        self,
        database: Database,
        ray: RayJobs,
        results: MlflowResults,
        settings: Settings,
        on_end: Callable[[str, str | None], object] | None = None,
    ) -> None:
        self._database = database
        self._ray = ray
        self._results = results
        self._settings = settings
        self._on_end = on_end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconciler", daemon=True)
        self._steps = {
            SweepState.STARTING: self._launch,
            SweepState.RUNNING: self._follow,
            SweepState.PAUSING: self._halt,
            SweepState.CANCELLING: self._halt,
        }

    def start(self) -> None:
        """Start the loop in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop after the pass it is in."""
        self._stopping.set()
        self._thread.join()

    def tick(self) -> None:
        """One pass over all live sweeps."""
        with self._database.snapshot() as session:
            live = SweepRepository(session).live()
        free = self._settings.max_running_sweeps - sum(row.state in _OCCUPYING for row in live)
        for row in live:
            if row.state == SweepState.QUEUED and free > 0 and self._is_due(row):
                free -= self._claim(row)
            step = self._steps.get(SweepState(row.state))
            if step is not None:
                self._take(step, row)

    def _loop(self) -> None:
        while not self._stopping.wait(self._settings.reconcile_seconds):
            try:
                self.tick()
            except Exception:
                log.exception("the pass failed; the next one tries again")

    def _take(self, step: Callable[[SweepRow], None], row: SweepRow) -> None:
        """One step of one sweep; what is wrong with it does not hold up the others."""
        try:
            step(row)
        except (RayUnavailableError, MlflowUnavailableError) as error:
            self._explain(row, str(error))
        except Exception:
            log.exception("sweep %s: the step failed; the next pass tries again", row.sweep_id)
        else:
            self._explain(row, None)

    def _is_due(self, row: SweepRow) -> bool:
        return row.not_before is None or row.not_before <= datetime.now(UTC)

    def _claim(self, row: SweepRow) -> bool:
        """Give a queued sweep its next attempt; the next pass launches it."""
        return self._change(row, SweepState.STARTING, attempt=row.attempt + 1)

    def _launch(self, row: SweepRow) -> None:
        """See that the driver of this attempt exists and wait until it runs."""
        job = self._ray.state(submission_id(row.sweep_id, row.attempt))
        if job is None:
            self._ray.submit(self._driver_job(row))
        elif job.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}:
            started_at = row.started_at or datetime.now(UTC)
            self._change(row, SweepState.RUNNING, started_at=started_at)
        elif job.status.is_over:
            self._recover(row, job)

    def _follow(self, row: SweepRow) -> None:
        """Take in results; react when the driver has ended."""
        job = self._ray.state(submission_id(row.sweep_id, row.attempt))
        is_over = job is None or job.status.is_over
        self._sync(row, whole=is_over)
        if job is not None and job.status is JobStatus.SUCCEEDED:
            self._finish(row)
        elif is_over:
            self._recover(row, job)
        elif (reason := _overtime(row)) is not None:
            self._change(row, SweepState.CANCELLING, reason=reason)

    def _halt(self, row: SweepRow) -> None:
        """Stop the driver, then settle in the state that was asked for."""
        name = submission_id(row.sweep_id, row.attempt)
        job = self._ray.state(name) if row.attempt else None
        if job is not None and not job.status.is_over:
            self._ray.stop(name)
            return
        if row.state == SweepState.CANCELLING:
            self._end(row, SweepState.CANCELLED, _overtime(row))
            return
        self._sync(row, whole=True)
        if job is not None and job.status is JobStatus.SUCCEEDED:
            self._finish(row)
        else:
            self._change(row, SweepState.PAUSED)

    def _finish(self, row: SweepRow) -> None:
        """A driver that succeeded has delivered everything; say so if it has not."""
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
        self._locate(row)
        if row.mlflow_experiment_id is not None:
            status = "FAILED" if state == SweepState.FAILED else "KILLED"
            self._results.close_runs(row.mlflow_experiment_id, row.sweep_id, status)
        self._sync(row, whole=True)
        self._change(row, state, reason=reason)

    def _recover(self, row: SweepRow, job: JobState | None) -> None:
        """Start a dead driver again, unless that cannot help or was tried too often."""
        message = "the Ray cluster does not know the driver" if job is None else _last_line(job)
        failures = row.failures + 1
        if job is not None and job.exit_code in {EXIT_INVALID, EXIT_TOO_MANY_FAILURES}:
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

    def _locate(self, row: SweepRow) -> None:
        """Learn where MLflow keeps the sweep, once a driver has made its run."""
        if row.attempt and (row.mlflow_run_id is None or row.classes is None):
            parent = self._results.sweep_run(row.name, row.sweep_id)
            if parent is not None:
                row.mlflow_experiment_id = parent.experiment_id
                row.mlflow_run_id = parent.run_id
                row.classes = parent.classes

    def _sync(self, row: SweepRow, *, whole: bool = False) -> None:
        """Bring the trials table up to what MLflow says.

        Runs may reach MLflow in another order than they ended in, so what ended since the last
        pass is not all that is new; ``whole`` reads every run, once a driver is gone.
        """
        self._locate(row)
        if row.mlflow_experiment_id is None:
            return
        since = None if whole else row.synced_at
        runs = list(self._results.trial_runs(row.mlflow_experiment_id, row.sweep_id, since=since))
        if not whole:
            runs = [run for run in runs if not _is_superseded(run, row.attempt)]
        ends = [run.ended_at for run in runs if run.ended_at is not None]
        newest = max(ends, default=row.synced_at)
        if newest != row.synced_at:
            row.failures = 0
        with self._database.transaction() as session:
            stored = SweepRepository(session).get(row.sweep_id)
            if stored is None:
                return
            stored.mlflow_experiment_id = row.mlflow_experiment_id
            stored.mlflow_run_id = row.mlflow_run_id
            stored.classes = row.classes
            stored.synced_at = newest or row.created_at
            stored.failures = row.failures
            TrialRepository(session).record_all(row.sweep_id, {run.key: run.values for run in runs})

    def _driver_job(self, row: SweepRow) -> DriverJob:
        settings = self._settings
        uri = settings.mlflow_tracking_uri_for_workers or settings.mlflow_tracking_uri
        return DriverJob(
            sweep_id=row.sweep_id,
            attempt=row.attempt,
            specification=SweepSpec.model_validate(row.specification),
            mlflow_tracking_uri=str(uri).rstrip("/"),
            storage_path=settings.resolved_storage_path,
            data_dir=str(settings.resolved_data_dir),
        )

    def _change(self, row: SweepRow, after: SweepState, **values: object) -> bool:
        """One transition in a transaction of its own."""
        with self._database.transaction() as session:
            changed = transition(session, row.sweep_id, SweepState(row.state), after, **values)
        if changed:
            log.info(
                "sweep %s: %s -> %s %s", row.sweep_id, row.state, after, values.get("reason", "")
            )
            if after in TERMINAL and self._on_end is not None:
                self._on_end(row.sweep_id, row.mlflow_run_id)
        return changed

    def _explain(self, row: SweepRow, reason: str | None) -> None:
        """Say what a sweep waits for."""
        if reason == row.reason:
            return
        with self._database.transaction() as session:
            stored = SweepRepository(session).get(row.sweep_id)
            if stored is not None and stored.state == row.state:
                stored.reason = reason
        if reason is not None:
            log.warning("sweep %s waits: %s", row.sweep_id, reason)


def _is_superseded(run: TrialRun, attempt: int) -> bool:
    """Whether a trial failed under an earlier driver: this one runs it again."""
    failed = run.values["outcome"] in {Outcome.FAILED, Outcome.CANCELLED}
    return failed and run.values["attempt"] < attempt


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
