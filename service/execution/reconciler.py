"""The reconciler: a loop that makes what is wanted real.

Each pass reads the live sweeps and takes, for each, the one step its state asks for. It keeps
nothing in memory: killed between any two statements, the next pass goes on from the database, Ray
and MLflow. Of several services on one database only the one that holds the lease takes steps, and
every transaction makes sure of it.
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
from service.execution.preconditions import Obstacles
from service.execution.state_handlers import SweepSteps
from service.external.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.external.ray_jobs import RayJobs, RayUnavailableError
from service.first_line import first_line
from service.settings import Settings
from service.states import SweepState
from service.storage import DATABASE_AWAY, Database, SweepRow
from service.sweeps.repository import SweepRepository

__all__ = ["Reconciler"]

log = logging.getLogger(__name__)

_OCCUPYING = {SweepState.STARTING, SweepState.RUNNING, SweepState.PAUSING, SweepState.CANCELLING}
_AWAY = (RayUnavailableError, MlflowUnavailableError)


class Reconciler:
    """Drives every live sweep towards its end.

    Args:
        database: The sweeps.
        ray: The cluster that runs drivers.
        results: MLflow.
        settings: Limits and addresses.
        lease: What must be held to act; started and stopped with the loop.
        on_end: Told the sweep and its MLflow run, once, when a sweep has ended.
        on_pass: Told of each pass how many seconds it took and whether it failed.
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
        self._steps = SweepSteps(database, ray, results, settings, lease, on_end)
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
        """End the loop after the pass it is in, and let another service lead."""
        self._stopping.set()
        self._thread.join()
        self._lease.stop()

    def tick(self) -> None:
        """One pass over all live sweeps.

        Raises:
            LeaseLostError: Another service leads.
            OperationalError: The database does not answer.
        """
        with self._database.snapshot() as session:
            live = SweepRepository(session).live()
        obstacles = Obstacles(self._ray, self._settings)
        places = self._settings.max_running_sweeps
        free = places - sum(row.state in _OCCUPYING for row in live)
        for row in live:
            if row.state == SweepState.QUEUED:
                if not _is_due(row):
                    continue
                if free <= 0:
                    self._explain(row, f"{places} sweeps run, as many as are allowed at a time")
                    continue
            free -= self._take(row, obstacles)

    def clean(self) -> None:
        """Look after what no live sweep asks for, if it is time to.

        Raises:
            LeaseLostError: Another service leads.
            OperationalError: The database does not answer.
        """
        if time.monotonic() - self._cleaned_at < self._settings.housekeeping_seconds:
            return
        self._cleaned_at = time.monotonic()
        try:
            self._housekeeping.clean()
        except _AWAY as error:
            log.warning("housekeeping waits: %s", error)

    def _loop(self) -> None:
        while not self._stopping.wait(self._settings.reconcile_seconds):
            if not self._lease.is_held:
                continue
            started, failed = time.monotonic(), True
            try:
                self.tick()
                self.clean()
                failed = False
            except LeaseLostError as error:
                log.warning("the pass ended: %s", error)
            except DATABASE_AWAY as error:
                log.warning("the database does not answer: %s", first_line(error))
            except Exception:
                log.exception("the pass failed; the next one tries again")
            if self._on_pass is not None:
                self._on_pass(time.monotonic() - started, failed)

    def _take(self, row: SweepRow, obstacles: Obstacles) -> bool:
        """One step of one sweep; what is wrong with it does not hold up the others.

        Returns:
            Whether the sweep took one of the places.
        """
        try:
            reason = self._steps.take(row, obstacles)
        except _AWAY as error:
            reason = str(error)
        except (LeaseLostError, *DATABASE_AWAY):
            raise
        except Exception as error:
            reason = f"the service fails at it and tries again: {type(error).__name__}: {error}"
            if reason != row.reason:
                log.exception("sweep %s: the step failed; the next pass tries again", row.sweep_id)
        self._explain(row, reason)
        return row.state == SweepState.QUEUED and reason is None

    def _explain(self, row: SweepRow, reason: str | None) -> None:
        """Say what a sweep waits for."""
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
            log.warning("sweep %s waits: %s", row.sweep_id, reason)


def _is_due(row: SweepRow) -> bool:
    return row.not_before is None or row.not_before <= datetime.now(UTC)
