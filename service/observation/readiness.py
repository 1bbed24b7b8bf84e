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
_LEASES_WITHOUT_LEADER = 3
"""So many leases may pass without a leader: another service needs one to take over."""


class Readiness(BaseModel):
    """Whether the service can do its work, and what is missing."""

    ready: bool
    checks: dict[str, str]
    """``ok`` or what is wrong, for each dependency and the lease; without addresses, since callers
    need no token."""
    leader: str | None
    """The service that acts on sweeps, of all on this database; absent while none does."""


class ReadinessWatch:
    """Asks the neighbours, once however many want to know: a silent one would hold up all.

    Args:
        database: The sweeps, and who leads.
        ray: The cluster.
        results: MLflow.
        lease_seconds: How long a lease lasts.
        clock: Seconds.
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
        self._patience_seconds = _LEASES_WITHOUT_LEADER * lease_seconds
        self._clock = clock
        self._led_at = clock()
        self._asking = threading.Lock()
        self._known: tuple[float, Readiness] | None = None

    def latest(self) -> Readiness:
        """An answer of this second, or the last one while a neighbour keeps us waiting."""
        known = self._known
        if known is not None:
            is_fresh = self._clock() - known[0] < _FRESH_SECONDS
            if is_fresh or self._asking.locked():
                return known[1]
        with self._asking:
            if self._known is None or self._known is known:  # nobody asked meanwhile
                self._known = self._clock(), self._ask()
            return self._known[1]

    def _ask(self) -> Readiness:
        asked = {
            "database": self._database.ping,
            "ray": self._ray.version,
            "mlflow": self._results.ping,
        }
        checks, leading = {name: self._check(name, ask) for name, ask in asked.items()}, None
        if checks["database"] == "ok":
            with self._database.snapshot() as session:
                leading = leader(session)
            if leading is not None:
                self._led_at = self._clock()
        silent_seconds = self._clock() - self._led_at
        checks["lease"] = (
            "ok"
            if silent_seconds <= self._patience_seconds
            else f"no service has acted on sweeps for {silent_seconds:.0f} s"
        )
        ready = all(state == "ok" for state in checks.values())
        return Readiness(ready=ready, checks=checks, leader=leading)

    def _check(self, name: str, ask: Callable[[], object]) -> str:
        """``ok``, or what is wrong; the log has addresses and reasons, once per change."""
        try:
            ask()
        except (SQLAlchemyError, ExternalServiceError) as error:
            state = public_message(error)
            if self._known is None or self._known[1].checks[name] != state:
                log.warning("not ready: %s", full_message(error))
            return state
        return "ok"
