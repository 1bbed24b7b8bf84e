"""A reconciler between a database, a real MLflow server and a stand-in for Ray's Jobs API."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
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
from workers.metrics import Outcome
from workers.spec import SweepSpec, TrialConfig

# As `create_app` sets them: one attempt per call.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def nowhere() -> str:
    """An address that refuses connections."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on SQLite."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(folder / "artifacts")),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            env=os.environ
            | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while True:
            try:
                if httpx.get(f"{uri}/health").is_success:
                    break
            except httpx.TransportError:
                pass
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "MLflow did not start"
            time.sleep(0.1)
        yield uri
        os.killpg(server.pid, 15)
        server.wait()


class RayStandIn:
    """Ray's Jobs API over HTTP, with jobs that tests move by hand."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.submissions: list[dict[str, Any]] = []
        self.stops: list[str] = []
        self.is_unavailable = False
        self.answers_are_lost = False
        self.stops_at_once = True
        self.nodes = [{"CPU": 2.0, "memory": 1e9}]
        self.logs = "first\nlast\n"
        self.body: bytes | None = None
        """Body of every response; None for Ray's own."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve({})

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._serve(json.loads(text or b"{}"))

            def _serve(self, body: dict[str, Any]) -> None:
                if stand_in.is_unavailable:
                    return  # the connection ends without an answer
                status, answer = stand_in._answer(self.command, self.path, body)
                if stand_in.answers_are_lost and self.command == "POST":
                    return
                text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                text = text if stand_in.body is None else stand_in.body
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/api/version":
            return 200, {"ray_version": "2.60.0"}
        if path.startswith("/api/v0/nodes?"):
            nodes = [{"state": "ALIVE", "resources_total": node} for node in self.nodes]
            return 200, {"data": {"result": {"result": nodes}}}
        if path.startswith("/api/v0/logs/file?"):
            return 200, self.logs
        if path == "/api/jobs/" and method == "GET":
            return 200, [{"submission_id": name, **job} for name, job in self.jobs.items()]
        if path == "/api/jobs/":
            name = body["submission_id"]
            if name in self.jobs:
                return 500, f"Job with submission_id {name} already exists"
            self.submissions.append(body)
            self.move(name, "PENDING", message="waits")
            return 200, {"submission_id": name}
        name, _, action = path.removeprefix("/api/jobs/").partition("/")
        if name not in self.jobs:
            return 404, f"Job {name} does not exist"
        if action == "stop":
            self.stops.append(name)
            if self.stops_at_once:
                self.move(name, "STOPPED")
            return 200, {"stopped": True}
        return 200, self.jobs[name]

    def move(
        self, name: str, status: str, *, exit_code: int | None = None, message: str = ""
    ) -> None:
        """Bring a job to a status."""
        is_over = status in {"SUCCEEDED", "FAILED", "STOPPED"}
        self.jobs[name] = {
            "status": status,
            "driver_exit_code": exit_code,
            "message": message,
            "end_time": time.time_ns() // 1_000_000 if is_over else None,
            "driver_node_id": "abc",
        }

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@dataclass
class DriverStandIn:
    """Writes what a driver would write to MLflow, with times of its own clock."""

    client: MlflowClient
    sweep_id: str
    specification: SweepSpec
    attempt: int = 1
    runs: dict[str, str] = field(default_factory=dict)
    parent: str = ""

    def start(self, *, classes: int | None = 10) -> None:
        """Make the sweep's run."""
        name = self.specification.name
        known = self.client.get_experiment_by_name(name)
        self.experiment_id = known.experiment_id if known else self.client.create_experiment(name)
        tags = {"sasam.sweep": self.sweep_id, "sasam.kind": "sweep"}
        if classes is not None:
            tags["sasam.classes"] = str(classes)
        self.parent = self.client.create_run(self.experiment_id, tags=tags).info.run_id

    def start_trial(self, trial: TrialConfig) -> str:
        """Make a trial's run, or open it again."""
        if trial.key in self.runs:
            self.client.update_run(self.runs[trial.key], status="RUNNING")
            self.client.set_tag(self.runs[trial.key], "sasam.attempt", str(self.attempt))
        else:
            tags = {
                "sasam.sweep": self.sweep_id,
                "sasam.kind": "trial",
                "sasam.trial": trial.key,
                "sasam.attempt": str(self.attempt),
            }
            run = self.client.create_run(self.experiment_id, tags=tags)
            self.runs[trial.key] = run.info.run_id
        return self.runs[trial.key]

    def end_trial(
        self, trial: TrialConfig, outcome: Outcome, *, time_ms: int | None = None, **metrics: float
    ) -> None:
        """Log metrics and end a trial's run."""
        run_id = self.start_trial(trial)
        for name, value in metrics.items():
            self.client.log_metric(run_id, name, value, step=1)
        self.client.set_tag(run_id, "sasam.outcome", outcome)
        if outcome is Outcome.FAILED:
            self.client.set_tag(run_id, "sasam.error", "MemoryError: no memory")
        status = "FAILED" if outcome is Outcome.FAILED else "FINISHED"
        self.client.set_terminated(run_id, status, time_ms)

    def end_all(self, outcome: Outcome = Outcome.COMPLETED) -> None:
        """End every trial, and the sweep's run."""
        for trial in self.specification.trials:
            self.end_trial(trial, outcome, epoch=1, val_accuracy=0.5)
        self.client.set_terminated(self.parent, "FINISHED")

    def status(self, run_id: str) -> tuple[str, str | None]:
        """Status and outcome of a run."""
        run = self.client.get_run(run_id)
        return run.info.status, run.data.tags.get("sasam.outcome")


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
        """Let the reconciler take some passes."""
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
