"""Readiness: whether the external services answer and the leader lease is held."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from service.execution.lease import leader
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.storage import Database
from service.unavailable import ExternalServiceError, full_message, public_message

__all__ = ["Readiness", "ReadinessWatch"]

log = logging.getLogger(__name__)

_FRESH_SECONDS = 1.0
_MAX_LEASES_WITHOUT_LEADER = 3
"""Lease durations without a leader that still count as ready; a takeover needs one."""


class Readiness(BaseModel):
    """Whether the service is ready, and the result of each check."""

    ready: bool
    checks: dict[str, str]
    """``ok`` or the reason, for each external service and the lease; without addresses, because
    callers need no token."""
    leader: str | None
    """Name of the service that holds the leader lease; null if none does."""


class ReadinessWatch:
    """Checks the external services, one check at a time whatever the number of callers.

    Args:
        database: The database with sweeps and lease.
        ray: Client of Ray.
        results: Client of MLflow.
        lease_seconds: Duration of a lease.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        database: Database,
        ray: RayJobs,
        results: MlflowGateway,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._ray = ray
        self._results = results
        self._max_silence_seconds = _MAX_LEASES_WITHOUT_LEADER * lease_seconds
        self._clock = clock
        self._led_at = clock()
        self._checking = threading.Lock()
        self._known: tuple[float, Readiness] | None = None

    def latest(self) -> Readiness:
        """A result of at most 1 s of age, or the previous one while a check is running."""
        known = self._known
        if known is not None:
            is_fresh = self._clock() - known[0] < _FRESH_SECONDS
            if is_fresh or self._checking.locked():
                return known[1]
        with self._checking:
            if self._known is None or self._known is known:  # no other thread has checked meanwhile
                self._known = self._clock(), self._check_all()
            return self._known[1]

    def _check_all(self) -> Readiness:
        """Check database, Ray, MLflow and the lease."""
        probes = {
            "database": self._database.ping,
            "ray": self._ray.version,
            "mlflow": self._results.ping,
        }
        checks, leading = {name: self._check(name, ask) for name, ask in probes.items()}, None
        if checks["database"] == "ok":
            with self._database.snapshot() as session:
                leading = leader(session)
            if leading is not None:
                self._led_at = self._clock()
        silent_seconds = self._clock() - self._led_at
        checks["lease"] = (
            "ok"
            if silent_seconds <= self._max_silence_seconds
            else f"no service has acted on sweeps for {silent_seconds:.0f} s"
        )
        ready = all(state == "ok" for state in checks.values())
        return Readiness(ready=ready, checks=checks, leader=leading)

    def _check(self, name: str, ask: Callable[[], object]) -> str:
        """Call ``ask``; return ``ok`` or the reason of its failure. The log has addresses."""
        try:
            ask()
        except (SQLAlchemyError, ExternalServiceError) as error:
            state = public_message(error)
            if self._known is None or self._known[1].checks[name] != state:
                log.warning("not ready: %s", full_message(error))
            return state
        return "ok"
