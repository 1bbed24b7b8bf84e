"""What a sweep found is handed on when it ends, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from sqlalchemy import update

from service.execution.lease import Lease
from service.execution.reconciler import Reconciler
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import JobState, JobStatus, NodeResources, RayJobs
from service.settings import Settings
from service.states import SweepState
from service.storage import Database, LeaseRow
from service.sweeps.lifecycle import transition
from service.sweeps.service import require_sweep


@dataclass
class Ray:
    """Knows one driver, in one state."""

    status: JobStatus

    def state(self, name: str) -> JobState:
        return JobState(self.status, 0, "")

    def nodes(self) -> list[NodeResources]:
        return [NodeResources(cpus=2, gpus=0)]

    def log_tail(self, name: str, *, lines: int) -> str | None:
        return None


@pytest.fixture
def running(detailed: Any, make_sweep: Any) -> str:
    """A sweep whose driver runs and whose trials have all ended."""
    sweep_id: str = make_sweep("ending")
    make_sweep.end(sweep_id, "completed")
    with detailed.database.transaction() as session:
        stored = require_sweep(session, sweep_id)
        stored.mlflow_experiment_id, stored.mlflow_run_id = "0", detailed.run_id
        for before, after in (
            (SweepState.QUEUED, SweepState.STARTING),
            (SweepState.STARTING, SweepState.RUNNING),
        ):
            assert transition(session, sweep_id, before, after)
    return sweep_id


def reconciler(
    database: Database, uri: str, ray: Ray, on_end: Callable[[str, str | None], None]
) -> Reconciler:
    with database.transaction() as session:
        session.execute(update(LeaseRow).values(expires_at=0.0))  # the application's
    lease = Lease(database, seconds=600)
    assert lease.acquire()
    settings = Settings(max_running_sweeps=1)
    results = MlflowGateway(uri)
    return Reconciler(database, cast(RayJobs, ray), results, settings, lease, on_end=on_end)


def test_reconciler_announces_the_end_of_a_sweep_once(detailed: Any, running: str) -> None:
    told: list[tuple[str, str | None]] = []
    ray = Ray(JobStatus.RUNNING)
    loop = reconciler(detailed.database, detailed.uri, ray, lambda *ended: told.append(ended))
    loop.tick()
    assert told == []
    ray.status = JobStatus.SUCCEEDED
    for _ in range(3):
        loop.tick()
    assert told == [(running, detailed.run_id)]
