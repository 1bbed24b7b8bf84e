"""Command lines, environments and health checks of the service, MLflow and Ray as children."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import httpx
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.embedded.child_process import ChildSpec
from service.embedded.ports import WORKER_PORTS, Ports
from service.settings import Settings

__all__ = ["EmbeddedSettings", "mlflow_child", "ray_child", "reachable", "service_child"]

_LOOPBACK = "127.0.0.1"
_JOBS_SECONDS = 3.0
_LIVE_JOBS = frozenset({"PENDING", "RUNNING"})
# Another cluster or server that the environment names must not be used instead of ours.
_FOREIGN_VARIABLES = frozenset({"RAY_ADDRESS", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI"})


class EmbeddedSettings(BaseSettings):
    """Settings of the embedded mode alone, each from ``SASAM_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="SASAM_", extra="ignore", frozen=True)

    mlflow_port: int | None = Field(default=None, ge=1024, le=65535)
    """Port of MLflow; None to choose a free one."""
    ray_port: int | None = Field(default=None, ge=1024, le=65535)
    """Port of Ray's dashboard and Jobs API; None to choose a free one."""
    cpus: int | None = Field(default=None, ge=1)
    """Processor cores for trials; None for all."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs for trials; None for all."""
    object_store_bytes: int = Field(default=200_000_000, ge=80_000_000)
    """Shared memory of Ray's object store, which trials use little."""
    start_seconds: float = Field(default=120.0, gt=0)
    """Longest time until a child is healthy."""


def service_child(
    settings: Settings, ports: Ports, ray_token: Path, command: tuple[str, ...]
) -> ChildSpec:
    """Describe uvicorn with the service; ``SASAM_`` variables locate Ray and MLflow."""
    explicit = settings.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    # Relative to the user's working directory; the child has another one.
    paths = {
        name: str(value.expanduser().absolute())
        for name, value in settings
        if isinstance(value, Path)
    }
    addresses = {
        "host": settings.host,
        "port": ports.service,
        "ray_address": f"http://{_LOOPBACK}:{ports.ray_dashboard}",
        "ray_token_path": str(ray_token),
        "mlflow_tracking_uri": f"http://{_LOOPBACK}:{ports.mlflow}",
    }
    variables = {
        f"SASAM_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in (explicit | paths | addresses).items()
    }
    return ChildSpec(
        name="service",
        command=(
            *command,
            *("--host", settings.host, "--port", str(ports.service)),
            # Open event streams end only with their clients: do not wait for them.
            *("--timeout-graceful-shutdown", "1"),
        ),
        environment=_environment(variables),
        health=(f"http://{reachable(settings.host)}:{ports.service}/healthz",),
    )


def mlflow_child(folder: Path, ports: Ports) -> ChildSpec:
    """Describe MLflow's server on loopback, with SQLite and artifacts in a folder."""
    database = folder / "mlflow.db"
    _enable_write_ahead_log(database)
    return ChildSpec(
        name="mlflow",
        command=(
            *(sys.executable, "-m", "mlflow", "server"),
            *("--backend-store-uri", f"sqlite:///{database}"),
            *("--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"),
            *("--host", _LOOPBACK, "--port", str(ports.mlflow), "--workers", "1"),
            *("--app-name", "sasam"),  # MLflow with the route of `workers.mlflow_app`
            *("--allowed-hosts", f"{_LOOPBACK}:{ports.mlflow},localhost:{ports.mlflow}"),
            *("--uvicorn-opts", "--no-access-log --timeout-graceful-shutdown 1"),
        ),
        environment=_environment(
            {
                # MLflow's jobs run prompts and scorers in further processes; no sweep uses them.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            }
        ),
        health=(f"http://{_LOOPBACK}:{ports.mlflow}/health",),
    )


def ray_child(
    settings: EmbeddedSettings,
    ports: Ports,
    token: Path,
    folder: Path,
    client: httpx.Client,
    *,
    umask: int,
) -> ChildSpec:
    """Describe a Ray head node that listens on loopback only and requires a token."""
    options = {
        "node-ip-address": _LOOPBACK,
        "port": ports.ray_gcs,
        "ray-client-server-port": ports.ray_client,
        "node-manager-port": ports.ray_node_manager,
        "object-manager-port": ports.ray_object_manager,
        "dashboard-host": _LOOPBACK,
        "dashboard-port": ports.ray_dashboard,
        "dashboard-agent-listen-port": ports.ray_agent_http,
        "dashboard-agent-grpc-port": ports.ray_agent_grpc,
        "runtime-env-agent-port": ports.ray_runtime_env_agent,
        "metrics-export-port": ports.ray_metrics,
        "min-worker-port": ports.ray_workers,
        "max-worker-port": ports.ray_workers + WORKER_PORTS - 1,
        "temp-dir": folder,
        "object-store-memory": settings.object_store_bytes,
        "num-cpus": settings.cpus,
        "num-gpus": settings.gpus,
    }
    dashboard = f"http://{_LOOPBACK}:{ports.ray_dashboard}"
    headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
    return ChildSpec(
        name="ray",
        command=(
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            # One node needs no autoscaler, which costs a process and a second.
            *("--no-monitor", "--disable-usage-stats", "--log-color=false"),
            *(f"--{name}={value}" for name, value in options.items() if value is not None),
        ),
        environment=_environment(
            {
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(token),
                # Unless clusters are disabled, as on Windows and macOS, Ray replaces 127.0.0.1 by
                # an address that other machines can reach and listens on all addresses.
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
                "DASHBOARD_METRIC_PORT": str(ports.ray_dashboard_metrics),
                "RAY_USAGE_STATS_ENABLED": "0",
                # By default Ray waits 30 s for replicas of Ray Serve, which is not used.
                "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
                # Keeps Ray's processes from overwriting their environment, which has the marker,
                # when they set their titles.
                "SPT_NOENV": "1",
            }
        ),
        # A job needs the agent, which starts seconds after the dashboard.
        health=(
            f"{dashboard}/api/version",
            f"http://{_LOOPBACK}:{ports.ray_agent_http}/api/local_raylet_healthz",
        ),
        headers=headers,
        before_stop=lambda: _stop_jobs(client, f"{dashboard}/api/jobs/", headers),
        umask=umask,
        slow_start="timed out during startup",  # Ray gives its own processes 30 s, a fixed limit
    )


def reachable(host: str) -> str:
    """Return the host in URLs, from this machine, of a server that listens on ``host``."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - nothing is bound here
        return _LOOPBACK
    return f"[{host}]" if ":" in host else host


def _enable_write_ahead_log(database: Path) -> None:
    """Set the journal mode of a SQLite file in which readers do not wait for a writer.

    The mode is stored in the file. With four clients that log runs at the same time the longest
    wait falls from 1.2 s to 0.4 s.
    """
    database.touch(mode=0o600)
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: that of this process, adjusted, and ``variables``."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES
    }
    # A job runs the first `python` on the path: it must be this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
    direct = ",".join(filter(None, [inherited.get("NO_PROXY"), _LOOPBACK, "localhost"]))
    return inherited | {"PATH": path, "NO_PROXY": direct, "no_proxy": direct} | dict(variables)


def _stop_jobs(client: httpx.Client, url: str, headers: Mapping[str, str]) -> None:
    """Stop Ray's jobs and wait a few seconds for their drivers, while MLflow still answers."""
    deadline = time.monotonic() + _JOBS_SECONDS
    stopped: set[str] = set()
    with suppress(httpx.HTTPError, ValueError):  # a dead Ray has no jobs
        while time.monotonic() < deadline:
            jobs = client.get(url, headers=headers).raise_for_status().json()
            live = {
                job["submission_id"]
                for job in jobs
                if job["status"] in _LIVE_JOBS and job["submission_id"]
            }
            if not live:
                return
            for submission_id in live - stopped:
                client.post(f"{url}{submission_id}/stop", headers=headers)
            stopped |= live
            time.sleep(0.1)
