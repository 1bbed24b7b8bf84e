"""A reconciler between a database, a real MLflow server and a stand-in for Ray's Jobs API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from mlflow import MlflowClient
from sqlalchemy import update

from service.events.repository import EventRepository
from service.execution.lease import Lease
from service.execution.reconciler import Reconciler
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.settings import Settings
from service.states import Command
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.schemas import SweepDetail
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from workers.spec import SweepSpec

from .driver_stand_in import DriverStandIn
from .ray_stand_in import RayStandIn

__all__ = ["World"]


@dataclass
class World:
    """A reconciler and its dependencies."""

    database: Database
    settings: Settings
    sweeps: SweepService
    ray: RayStandIn
    results: MlflowGateway
    lease: Lease
    reconciler: Reconciler
    client: MlflowClient

    def submit(self, **changes: Any) -> str:
        """Submit a sweep of two trials under a name of its own."""
        return self.sweeps.submit(specification(**changes))[0].sweep_id

    def tick(self, times: int = 1) -> None:
        """Let the reconciler make some passes."""
        for _ in range(times):
            self.reconciler.tick()

    def clean(self) -> None:
        """Run housekeeping now."""
        self.reconciler._cleaned_at = -float("inf")
        self.reconciler.clean()

    def events(self, sweep_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Kind and data of the sweep's events."""
        with self.database.snapshot() as session:
            rows = EventRepository(session).after(sweep_id, 0, limit=1_000)
            return [(row.kind, row.data) for row in rows]

    def ended_at(self, job: str) -> datetime:
        """When a job ended."""
        return datetime.fromtimestamp(self.ray.jobs[job]["end_time"] / 1000, UTC)

    def show(self, sweep_id: str) -> SweepDetail:
        """The sweep in the API."""
        return self.sweeps.get(sweep_id)

    def command(self, sweep_id: str, command: Command) -> None:
        """Command a sweep."""
        self.sweeps.command(sweep_id, command)

    def job(self, sweep_id: str) -> str:
        """Ray's name of the sweep's driver."""
        return f"sweep-{sweep_id}-{self.show(sweep_id).attempt}"

    def run(self, sweep_id: str) -> DriverStandIn:
        """Bring a queued sweep to ``running``; returns its driver."""
        self.hurry(sweep_id)
        self.tick(2)
        self.ray.move(self.job(sweep_id), "RUNNING")
        self.tick()
        sweep = self.show(sweep_id)
        assert sweep.state == "running"
        specification = SweepSpec.model_validate(sweep.specification)
        return DriverStandIn(self.client, sweep_id, specification, sweep.attempt)

    def fail_driver(self, sweep_id: str, *, exit_code: int | None = 1, message: str = "") -> None:
        """End the driver and let the reconciler see it."""
        name = self.job(sweep_id)
        self.ray.move(name, "FAILED", exit_code=exit_code, message=message)
        self.tick()

    def hurry(self, sweep_id: str, **values: Any) -> None:
        """Let the pause before the next driver be over."""
        with self.database.transaction() as session:
            past = {"not_before": datetime(2026, 1, 1, tzinfo=UTC)}
            session.execute(
                update(SweepRow).where(SweepRow.sweep_id == sweep_id).values(**past | values)
            )

    def row(self, sweep_id: str) -> SweepRow:
        """The sweep as it is stored."""
        with self.database.snapshot() as session:
            row = session.get(SweepRow, sweep_id)
            assert row is not None
            return row

    def trials(self, sweep_id: str) -> list[TrialRow]:
        """Its trials as they are stored."""
        with self.database.snapshot() as session:
            return list(TrialRepository(session).of_sweep(sweep_id))

    def reconcile_with(self, **changes: Any) -> Reconciler:
        """Another reconciler of the same leader, with other settings."""
        settings = Settings.model_validate(self.settings.model_dump() | changes)
        results = MlflowGateway(str(settings.mlflow_tracking_uri).rstrip("/"))
        return Reconciler(self.database, RayJobs(settings), results, settings, self.lease)


def specification(**changes: Any) -> SweepSpec:
    """A sweep of two trials under a name of its own."""
    plain = {
        "name": f"test {uuid4().hex[:12]}",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam", "msgd"],
        "search": {"learning_rate": [0.1], "weight_decay": [0.0]},
    }
    return SweepSpec.model_validate(plain | changes)
