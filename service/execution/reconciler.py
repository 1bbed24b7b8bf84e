"""Reconciler: a loop that moves every live sweep one step towards its desired state.

Each pass reads the live sweeps and calls, for each, the handler of its state. The loop keeps no
state in memory: if it is killed between any two statements, the next pass continues from the
database, Ray and MLflow. Of several services on one database only the holder of the leader lease
acts, and every transaction checks that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from service.events import EventKind
from service.events.repository import EventRepository
from service.execution.housekeeping import Housekeeping
from service.execution.lease import Lease, LeaseLostError
from service.execution.preconditions import Preconditions
from service.execution.state_handlers import StateHandlers
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.settings import Settings
from service.states import WITH_DRIVER, SweepState
from service.storage import DATABASE_UNAVAILABLE, Database, SweepRow
from service.sweeps.repository import SweepRepository
from service.unavailable import ExternalServiceError, full_message

__all__ = ["Reconciler"]

log = logging.getLogger(__name__)


class Reconciler:
    """Moves every live sweep towards its desired state.

    Args:
        database: The sweeps.
        ray: The cluster that runs drivers.
        results: MLflow.
        settings: Limits and addresses.
        lease: The leader lease, which must be held to act; started and stopped with the loop.
        on_end: Called once per end of a sweep, with the sweep's id and its MLflow run.
        on_pass: Called after each pass, with its duration in seconds and whether it failed.
    """

    def __init__(
        self,
        database: Database,
        ray: RayJobs,
        results: MlflowGateway,
        settings: Settings,
        lease: Lease,
        on_end: Callable[[str, str | None], object] | None = None,
        on_pass: Callable[[float, bool], object] | None = None,
    ) -> None:
        self._database = database
        self._ray = ray
        self._settings = settings
        self._lease = lease
        self._wake = threading.Event()
        """Set when the next pass need not wait: a sweep has changed its state, or the loop ends."""
        self._handlers = StateHandlers(
            *(database, ray, results, settings, lease), on_end=on_end, on_change=self._wake.set
        )
        self._housekeeping = Housekeeping(database, ray, results, settings, lease)
        self._on_pass = on_pass
        self._cleaned_at = -float("inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconciler", daemon=True)

    def start(self) -> None:
        """Start the loop in a thread."""
        self._lease.start()
        self._thread.start()

    def stop(self) -> None:
        """End the loop after the current pass, and release the leader lease."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self._lease.stop()

    def tick(self) -> None:
        """One pass over all live sweeps.

        Raises:
            LeaseLostError: Another service is the leader.
            OperationalError: The database does not answer.
        """
        with self._database.snapshot() as session:
            live = SweepRepository(session).live()
        preconditions = Preconditions(self._ray, self._settings)
        places = self._settings.max_running_sweeps
        free = places - sum(row.state in WITH_DRIVER for row in live)
        for row in live:
            if row.state == SweepState.QUEUED:
                if not _is_due(row):
                    continue
                if free <= 0:
                    self._set_reason(row, f"{places} sweeps run, as many as are allowed at a time")
                    continue
            free -= self._handle(row, preconditions)

    def clean(self) -> None:
        """Run housekeeping, if its interval has passed.

        Raises:
            LeaseLostError: Another service is the leader.
            OperationalError: The database does not answer.
        """
        if time.monotonic() - self._cleaned_at < self._settings.housekeeping_seconds:
            return
        self._cleaned_at = time.monotonic()
        try:
            self._housekeeping.clean()
        except ExternalServiceError as error:
            log.warning("housekeeping waits: %s", full_message(error))

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._settings.reconcile_seconds)
            self._wake.clear()
            if self._stopping.is_set() or not self._lease.is_held:
                continue
            started, failed = time.monotonic(), True
            try:
                self.tick()
                self.clean()
                failed = False
            except LeaseLostError as error:
                log.warning("the pass ended: %s", error)
            except DATABASE_UNAVAILABLE as error:
                log.warning("%s", full_message(error))
            except Exception:
                log.exception("the pass failed; the next one tries again")
            if self._on_pass is not None:
                self._on_pass(time.monotonic() - started, failed)

    def _handle(self, row: SweepRow, preconditions: Preconditions) -> bool:
        """Take one step of one sweep; its errors do not stop the other sweeps.

        Returns:
            Whether the sweep took one of the places.
        """
        detail = ""
        try:
            reason = self._handlers.handle(row, preconditions)
        except ExternalServiceError as error:
            reason, detail = str(error), error.detail
        except (LeaseLostError, *DATABASE_UNAVAILABLE):
            raise
        except Exception as error:
            reason = (
                f"the service failed on it and tries again; see its log ({type(error).__name__})"
            )
            if reason != row.reason:
                log.exception("sweep %s: the step failed; the next pass tries again", row.sweep_id)
        self._set_reason(row, reason, detail)
        return row.state == SweepState.QUEUED and reason is None

    def _set_reason(self, row: SweepRow, reason: str | None, detail: str = "") -> None:
        """Store what a sweep waits for, for every caller; ``detail`` goes only to the log."""
        if reason == row.reason:
            return
        with self._database.transaction() as session:
            self._lease.guard(session)
            stored = SweepRepository(session).lock(row.sweep_id)
            if stored is None or stored.state != row.state or stored.reason == reason:
                return
            stored.reason = reason
            session.flush()
            EventRepository(session).append(row.sweep_id, (EventKind.REASON, {"reason": reason}))
        if reason is not None:
            known = f"{reason} ({detail})" if detail else reason
            log.warning("sweep %s waits: %s", row.sweep_id, known)


def _is_due(row: SweepRow) -> bool:
    return row.not_before is None or row.not_before <= datetime.now(UTC)
