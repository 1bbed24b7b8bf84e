"""A real service on a free port with a SQLite file; the tests act as its reconciler."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from mlflow import MlflowClient
from mlflow.entities import Metric
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from service.app import create_app
from service.execution.trial_sync import record_runs
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition
from service.sweeps.service import SweepService, require_sweep
from workers.mlflow_schema import TrialRun
from workers.spec import SweepSpec, TrialConfig, load_spec

SPECIFICATION = """
name: {name}
dataset: digits
ood: {{corruptions: [fog, frost], severities: [1, 5], images: 100}}
model: cnn-tiny
optimizers: [sa-sam, msgd]
search: {{learning_rate: [0.01, 0.1], weight_decay: [0, 1.0e-4]}}
seeds: [0, 1]
training: {{epochs: 2, batch_size: 64, augmentation: none}}
curvature: {{images: 100}}
"""

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


expect.set_options(timeout=20_000)  # a busy machine draws its first figure after ten seconds


@dataclass(frozen=True)
class Site:
    """A running service.

    Attributes:
        url: Its address.
        database: Its database.
        settings: Its settings.
    """

    url: str
    database: Database
    settings: Settings

    def submit(self, name: str, **changes: Any) -> tuple[str, SweepSpec]:
        """A new sweep of 16 trials; returns its id and specification."""
        plain = load_spec(SPECIFICATION.format(name=name)).model_dump(mode="json")
        specification = SweepSpec.model_validate(plain | changes)
        sweep, _ = SweepService(self.database, self.settings).submit(specification)
        return sweep.sweep_id, specification

    def move(self, sweep_id: str, *states: SweepState) -> None:
        """Move a sweep from the first state through the others."""
        with self.database.transaction() as session:
            for before, after in pairwise(states):
                values = {"started_at": datetime.now(UTC)} if after is SweepState.RUNNING else {}
                assert transition(session, sweep_id, before, after, **values)

    def run(self, sweep_id: str) -> None:
        """Move a new sweep to the state "running"."""
        self.move(sweep_id, SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING)

    def start_trial(
        self, sweep_id: str, trial: TrialConfig, accuracy: float = 0.4, **values: Any
    ) -> None:
        """Start a trial, or update a running one."""
        begun = {"outcome": None, "epoch": 1, "metrics": {"val_accuracy": accuracy}}
        self._record(sweep_id, trial, begun | values)

    def end_trial(
        self, sweep_id: str, trial: TrialConfig, accuracy: float | None, **values: Any
    ) -> None:
        """End a trial; it has diverged if there is no accuracy."""
        metrics = {
            "val_accuracy": accuracy,
            "ood_accuracy": (accuracy or 0.2) - 0.1,
            "ood_accuracy.fog": 0.5,
            "hessian_trace.validation": 12.5,
            "hessian_trace_stderr.validation": 0.5,
            "hessian_lambda_max.validation": 3.5,
        }
        ended = {
            "outcome": "completed" if accuracy is not None else "diverged",
            "epoch": 2,
            "metrics": metrics if accuracy is not None else {},
            "ended_at": datetime.now(UTC),
        }
        self._record(sweep_id, trial, ended | values)

    def complete(self, name: str, **changes: Any) -> tuple[str, SweepSpec]:
        """A completed sweep with a result for every trial."""
        sweep_id, specification = self.submit(name, **changes)
        self.run(sweep_id)
        for position, trial in enumerate(specification.trials):
            self.end_trial(sweep_id, trial, 0.9 - 0.01 * position)
        self.move(sweep_id, SweepState.RUNNING, SweepState.COMPLETED)
        return sweep_id, specification

    def _record(self, sweep_id: str, trial: TrialConfig, values: dict[str, Any]) -> None:
        """Record a run as the reconciler does after it has read MLflow."""
        run = {
            "run_id": f"run-{trial.key}",
            "attempt": 1,
            "epoch": 0,
            "metrics": {},
            "started_at": datetime(2026, 1, 1, tzinfo=UTC),
            "ended_at": None,
        }
        values = run | values
        with self.database.transaction() as session:
            require_sweep(session, sweep_id).synced_at = values["ended_at"]
            record_runs(session, sweep_id, [TrialRun(trial.key, **values)])


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def look_away_and_back(page: Page) -> None:
    """Hide the page and show it again, as when the user changes tabs."""
    for hidden in ("true", "false"):
        page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )


@contextmanager
def serve(home: Path, **changes: Any) -> Iterator[Site]:
    """A service with its files in ``home``, without Ray and MLflow."""
    port, nowhere = free_port(), f"http://127.0.0.1:{free_port()}"
    settings = Settings(
        home=home,
        port=port,
        ray_address=nowhere,
        mlflow_tracking_uri=nowhere,
        reconcile_seconds=3600,  # the tests act as the reconciler
        **changes,
    )
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    started = threading.Event()
    startup = server.startup

    async def announce(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = announce  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(60)
    yield Site(f"http://127.0.0.1:{port}", app.state.services.database, settings)
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One service for all tests of this folder; each makes its own sweeps."""
    with serve(tmp_path_factory.mktemp("home")) as served:
        yield served


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service that requires tokens."""
    with serve(tmp_path_factory.mktemp("guarded"), auth="required") as served:
        yield served


class Runs:
    """Runs in the MLflow server of a site."""

    def __init__(self, uri: str) -> None:
        self._client = MlflowClient(uri)
        self.experiment: str = self._client.create_experiment("pages")

    def log(self, curves: Mapping[str, Sequence[float]], files: Mapping[str, str]) -> str:
        """A run with one value per epoch and metric, and with text files; returns its id."""
        run_id: str = self._client.create_run(self.experiment).info.run_id
        self._client.log_batch(
            run_id,
            [
                Metric(name, value, 0, epoch)
                for name, values in curves.items()
                for epoch, value in enumerate(values, 1)
            ],
        )
        for name, text in files.items():
            self._client.log_text(run_id, text, name)
        return run_id


@pytest.fixture(scope="package")
def runs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A real MLflow server at the address that the site uses."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = str(site.settings.mlflow_tracking_uri).rstrip("/")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"),
            *("--host", "127.0.0.1", "--port", uri.rpartition(":")[2]),
        ],
        env=os.environ
        | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None, "the MLflow server exited"
        assert time.monotonic() < deadline, "the MLflow server did not answer within 90 s"
        try:
            httpx.get(f"{uri}/health").raise_for_status()
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield Runs(uri)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as installed on this machine, else the one of Playwright."""
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = shutil.which("chromium") or (own if own.exists() else None)
        if found is None:
            pytest.skip("there is no Chromium: apt install chromium, or playwright install")
        launched = playwright.chromium.launch(executable_path=found, args=_CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[Page]:
    """A page that fails the test if its console has errors, or warnings of Vega.

    Refused requests are exempt: the browser reports them as errors, and some tests expect them.
    """
    context = browser.new_context(base_url=site.url)
    opened = context.new_page()
    messages: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        is_refusal = message.text.startswith("Failed to load resource")
        is_warning_of_vega = message.text.startswith("WARN ")
        if (message.type == "error" and not is_refusal) or is_warning_of_vega:
            messages.append(message.text)

    opened.on("console", listen)
    opened.on("pageerror", lambda error: messages.append(str(error)))
    yield opened
    context.close()
    assert not messages


@pytest.fixture
def http(site: Site) -> Iterator[httpx.Client]:
    """An HTTP client that is not a browser."""
    with httpx.Client(base_url=site.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="package")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of screenshots: ``SASAM_TEST_ARTIFACTS``, else a temporary one."""
    configured = os.environ.get("SASAM_TEST_ARTIFACTS")
    folder = Path(configured) if configured else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
