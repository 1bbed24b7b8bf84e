"""Settings of the service, each from an environment variable ``SASAM_<NAME>``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]


class Settings(BaseSettings):
    """Where the service finds its neighbours and what it allows.

    Everything has a default that suits one machine; a deployment sets the addresses.
    """

    model_config = SettingsConfigDict(env_prefix="SASAM_", extra="ignore", frozen=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".sasam")
    """Folder that holds everything the embedded mode writes."""
    host: str = "127.0.0.1"
    """Address the service listens on."""
    port: int = Field(default=8420, ge=0, le=65535)
    """Port the service listens on; the embedded mode takes the next free one."""
    database_url: str = ""
    """SQLAlchemy URL; SQLite in ``home`` when empty."""
    ray_address: HttpUrl = HttpUrl("http://127.0.0.1:8265")
    """Ray's dashboard, which serves the Jobs API."""
    ray_token_path: Path | None = None
    """File with Ray's authentication token."""
    mlflow_tracking_uri: HttpUrl = HttpUrl("http://127.0.0.1:5000")
    """MLflow as the service reaches it."""
    mlflow_tracking_uri_for_workers: HttpUrl | None = None
    """MLflow as the cluster reaches it, where that differs."""
    mlflow_public_url: HttpUrl | None = None
    """MLflow as a browser reaches it, where that differs."""
    storage_path: str = ""
    """Where drivers keep checkpoints and Tune's state; a folder in ``home`` when empty."""
    data_dir: Path | None = None
    """Folder with the data sets on the cluster's nodes; a folder in ``home`` when empty."""
    max_trials: int = Field(default=10_000, ge=1)
    """Most trials one sweep may have."""
    max_body_bytes: int = Field(default=64 * 1024, ge=1024)
    """Largest request body."""
    max_running_sweeps: int = Field(default=4, ge=1)
    """Sweeps that run at the same time; the others wait in the queue."""
    max_driver_attempts: int = Field(default=5, ge=1)
    """How often a dead driver is started again before its sweep fails."""
    reconcile_seconds: float = Field(default=1.0, gt=0)
    """Pause between two passes of the reconciler."""

    @property
    def resolved_database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'sasam.db'}"

    @property
    def resolved_storage_path(self) -> str:
        """The storage path in force."""
        return self.storage_path or str(self.home / "storage")

    @property
    def resolved_data_dir(self) -> Path:
        """The data folder in force."""
        return self.data_dir or self.home / "data"

    def mlflow_run_url(self, experiment_id: str | None, run_id: str | None) -> str | None:
        """A run in MLflow's page; None for a run that is not there yet."""
        if experiment_id is None or run_id is None:
            return None
        base = str(self.mlflow_public_url or self.mlflow_tracking_uri).rstrip("/")
        return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"
