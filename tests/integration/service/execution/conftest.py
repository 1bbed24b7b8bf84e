"""A reconciler between a database, a real MLflow server and a stand-in for Ray's Jobs API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from service.execution.lease import Lease
from service.execution.reconciler import Reconciler
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.settings import Settings
from service.storage import Database
from service.sweeps.service import SweepService
from tests.support.ports import closed_url
from tests.support.ray_stand_in import RayStandIn
from tests.support.reconciler_world import World

# As `create_app` sets them: one attempt per call.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


@pytest.fixture
def nowhere() -> str:
    """An address that refuses connections."""
    return closed_url()


@pytest.fixture
def ray() -> Iterator[RayStandIn]:
    """A cluster without jobs."""
    stand_in = RayStandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def world(tmp_path: Path, ray: RayStandIn, mlflow_uri: str) -> Iterator[World]:
    """A reconciler with its dependencies, without sweeps."""
    settings = Settings(
        home=tmp_path, ray_address=ray.address, mlflow_tracking_uri=mlflow_uri, max_running_sweeps=2
    )
    database = Database(settings.resolved_database_url)
    database.migrate()
    jobs = RayJobs(settings)
    lease = Lease(database, seconds=600)
    assert lease.acquire()
    results = MlflowGateway(mlflow_uri)
    reconciler = Reconciler(database, jobs, results, settings, lease)
    yield World(
        database,
        settings,
        SweepService(database, settings),
        ray,
        results,
        lease,
        reconciler,
        MlflowClient(mlflow_uri),
    )
    jobs.close()
    database.close()
