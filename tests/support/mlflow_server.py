"""A real MLflow server on SQLite, in a process group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .ports import free_port
from .waiting import http_answers, wait_until

__all__ = ["MlflowServer", "mlflow_server", "mlflow_uri", "serve_mlflow"]

_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else it starts a queue of its own
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowServer:
    """``mlflow server`` on a free port; it can be killed and started again with the same data.

    Attributes:
        port: Its port, which stays the same over restarts.
        uri: Its address.
    """

    def __init__(
        self,
        folder: Path,
        *,
        artifacts: str = "",
        port: int | None = None,
        app: str | None = "sasam",
    ) -> None:
        """Prepare a server with its files in ``folder``.

        Args:
            folder: Database, artifacts and log.
            artifacts: Address of the artifact store; by default a folder in ``folder``.
            port: By default a free one.
            app: MLflow's application: the one of `workers.mlflow_app`, or None for MLflow's own.
        """
        self.port = free_port() if port is None else port
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._log = folder / "mlflow.log"
        self._artifacts = artifacts or str(folder / "artifacts")
        self._app = () if app is None else ("--app-name", app)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; does not wait."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"),
            *("--artifacts-destination", self._artifacts, "--serve-artifacts"),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *self._app,
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | _ENVIRONMENT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_health(self) -> None:
        """Wait until it answers."""
        wait_until(self._is_healthy, seconds=400, explain=self._log.read_text)

    def kill(self) -> None:
        """End the whole process group, as a crash would."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _is_healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        return http_answers(f"{self.uri}/health")


@contextmanager
def serve_mlflow(
    folder: Path, *, port: int | None = None, app: str | None = "sasam"
) -> Iterator[MlflowServer]:
    """Run a server that answers, and end it afterwards."""
    server = MlflowServer(folder, port=port, app=app)
    server.start()
    try:
        server.await_health()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """The MLflow server of this test process; each test uses experiments of its own."""
    with serve_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_uri(mlflow_server: MlflowServer) -> str:
    """Address of the MLflow server of this test process."""
    return mlflow_server.uri
