"""Settings of the service, each from an environment variable ``SASAM_<NAME>``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, HttpUrl, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workers.durable_storage import S3Path, locate

__all__ = ["Settings", "describe_invalid"]


def _split(value: Any) -> Any:
    """A list from the environment: separated by commas, or JSON."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.=-]+)*/?", re.ASCII)
"""A bucket by S3's rules, and folders of it."""

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Urls = Annotated[tuple[HttpUrl, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Where the service finds its neighbours and what it allows.

    Everything has a default that suits one machine; a deployment sets the addresses.
    """

    model_config = SettingsConfigDict(
        env_prefix="SASAM_", extra="ignore", frozen=True, populate_by_name=True
    )

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
    ray_token_path: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("SASAM_RAY_TOKEN_PATH", "SASAM_RAY_TOKEN_FILE"),
    )
    """File with Ray's authentication token; ``SASAM_RAY_TOKEN_FILE`` means the same."""
    mlflow_tracking_uri: HttpUrl = HttpUrl("http://127.0.0.1:5000")
    """MLflow as the service reaches it."""
    mlflow_tracking_uri_for_workers: HttpUrl | None = None
    """MLflow as the cluster reaches it, where that differs."""
    mlflow_public_url: HttpUrl | None = None
    """MLflow as a browser reaches it, where that differs."""
    storage_path: str = ""
    """Where drivers keep journals and checkpoints: a folder that all nodes share, in ``home`` when
    empty; or ``s3://bucket/prefix`` for checkpoints, and the rest in ``scratch_path``."""
    scratch_path: str = ""
    """Folder of each node for journals and prepared images where ``storage_path`` is on S3; a
    folder in ``home`` when empty."""
    data_dir: Path | None = None
    """Folder with the data sets on the cluster's nodes; a folder in ``home`` when empty."""
    max_trials: int = Field(default=10_000, ge=1)
    """Most trials one sweep may have."""
    max_sweeps_per_submitter: int = Field(default=50, ge=0)
    """Most sweeps of one token that have not ended; 0 is no limit."""
    max_trials_per_submitter: int = Field(default=20_000, ge=0)
    """Most trials of one token that have not ended, in all its sweeps; 0 is no limit."""
    max_submit_priority: int = Field(default=0, ge=-1000, le=1000)
    """Highest priority that a token of the role ``submit`` may give a sweep."""
    max_body_bytes: int = Field(default=64 * 1024, ge=1024)
    """Largest request body."""
    max_running_sweeps: int = Field(default=4, ge=1)
    """Sweeps that run at the same time; the others wait in the queue."""
    max_driver_attempts: int = Field(default=5, ge=1)
    """How often a dead driver is started again before its sweep fails."""
    reconcile_seconds: float = Field(default=1.0, gt=0)
    """Pause between two passes of the reconciler."""
    lease_seconds: float = Field(default=10.0, gt=0)
    """How long a service that fell silent leads on; then another one on its database does."""
    housekeeping_seconds: float = Field(default=30.0, gt=0)
    """Pause between two searches for drivers that nobody wants any more."""
    keep_events_days: float = Field(default=30.0, ge=0)
    """Age at which the events of ended sweeps are dropped, but for the last."""
    min_free_bytes: int = Field(default=2**30, ge=0)
    """Free space below which the storage folder counts as full and no sweep starts."""
    cluster_autoscales: bool = False
    """Whether nodes come on demand: then a sweep starts though no node fits its trials yet."""
    auth: Literal["auto", "required"] = "auto"
    """Whether callers need a token: ``auto`` once there is one, ``required`` always."""
    admin_token_file: Path | None = None
    """File with an administrator's token, in force as long as this is set."""
    session_hours: float = Field(default=12, gt=0, le=24 * 365)
    """How long a login of the page lasts."""
    allowed_hosts: Names = ()
    """Names by which clients may call this service, besides this machine's; ``*`` is any."""
    trusted_proxies: Names = ()
    """Addresses whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed."""
    requests_per_second: float = Field(default=50, gt=0)
    """How often one caller may ask in the long run; nobody counts where no token is needed."""
    request_burst: int = Field(default=300, ge=1)
    """How many requests of a caller may come at once."""
    log_format: Literal["text", "json"] = "text"
    """Log lines for people, or one JSON object a line."""
    webhook_urls: Urls = ()
    """Told when a sweep has ended."""
    webhook_secret_file: Path | None = None
    """File with the key that signs what webhooks are told."""
    webhook_private_addresses: bool = False
    """Whether webhooks may lie in private networks or on this machine."""
    keep_checkpoints_days: float | None = Field(default=None, ge=0)
    """Age at which ``sasam prune`` deletes the checkpoints of ended sweeps; never when absent."""

    @field_validator("storage_path")
    @classmethod
    def _require_known_storage(cls, value: str) -> str:
        """Refuse an address before a driver takes it for a relative path."""
        if "://" in value and not _S3.fullmatch(value):
            raise ValueError(
                "SASAM_STORAGE_PATH must be a folder that all nodes share, such as /mnt/sasam, "
                f"or s3://bucket/prefix, got {value!r}"
            )
        return value.rstrip("/") if "://" in value else value

    @field_validator("scratch_path")
    @classmethod
    def _require_folder(cls, value: str) -> str:
        if "://" in value:
            raise ValueError(
                "SASAM_SCRATCH_PATH must be a folder on each node's own disk, such as "
                f"/var/lib/sasam, got {value!r}"
            )
        return value

    @property
    def resolved_database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'sasam.db'}"

    @property
    def resolved_storage_path(self) -> str:
        """Where checkpoints lie: a folder, or an address on S3."""
        return self.storage_path or str(self.home / "storage")

    @property
    def resolved_scratch_path(self) -> str:
        """The folder where the rest lies: the storage's own, unless that is on S3."""
        if not self.storage_is_on_s3:
            return self.resolved_storage_path
        return self.scratch_path or str(self.home / "storage")

    @property
    def storage_is_on_s3(self) -> bool:
        """Whether checkpoints lie in an object store, which this service does not look into."""
        return isinstance(locate(self.storage_path), S3Path)

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


def describe_invalid(error: ValidationError) -> list[str]:
    """One line for each invalid setting: its variable, the reason and the value."""
    return [
        f"SASAM_{'_'.join(str(part) for part in detail['loc']).upper()}: "
        f"{detail['msg'].lower()} (got {detail['input']!r})"
        for detail in error.errors(include_url=False)
    ]
