"""Settings of the service, read from environment variables ``SASAM_<NAME>``."""

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
    """Split a list of the environment, comma-separated or JSON."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.=-]+)*/?", re.ASCII)
"""A bucket by S3's naming rules, and an optional prefix."""

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Urls = Annotated[tuple[HttpUrl, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Addresses of external services, paths, and limits.

    The defaults suit one machine; a deployment sets the addresses.
    """

    model_config = SettingsConfigDict(
        env_prefix="SASAM_", extra="ignore", frozen=True, populate_by_name=True
    )

    home: Path = Field(default_factory=lambda: Path.home() / ".sasam")
    """Folder of everything that the embedded mode writes."""
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
    """File with Ray's authentication token; ``SASAM_RAY_TOKEN_FILE`` is an alias."""
    public_url: HttpUrl | None = None
    """Address of this service for browsers, if different from host and port."""
    mlflow_tracking_uri: HttpUrl = HttpUrl("http://127.0.0.1:5000")
    """Address of MLflow for the service."""
    mlflow_tracking_uri_for_workers: HttpUrl | None = None
    """Address of MLflow for the cluster, if different."""
    mlflow_public_url: HttpUrl | None = None
    """Address of MLflow for browsers, if different."""
    storage_path: str = ""
    """Where drivers keep journals and checkpoints: a folder that all nodes share, in ``home`` when
    empty; or ``s3://bucket/prefix`` for checkpoints, and the rest in ``scratch_path``."""
    scratch_path: str = ""
    """Folder of each node for journals and prepared images where ``storage_path`` is on S3; a
    folder in ``home`` when empty."""
    data_dir: Path | None = None
    """Folder with the data sets on the cluster's nodes; a folder in ``home`` when empty."""
    max_trials: int = Field(default=10_000, ge=1)
    """Largest number of trials of one sweep."""
    max_sweeps_per_submitter: int = Field(default=50, ge=0)
    """Largest number of sweeps of one token that have not ended; 0 disables the limit."""
    max_trials_per_submitter: int = Field(default=20_000, ge=0)
    """Largest number of trials that have not ended, over all sweeps of one token; 0 disables it."""
    max_submit_priority: int = Field(default=0, ge=-1000, le=1000)
    """Highest priority that a token of the role ``submit`` may give a sweep."""
    max_body_bytes: int = Field(default=64 * 1024, ge=1024)
    """Largest size of a request body."""
    max_running_sweeps: int = Field(default=4, ge=1)
    """Sweeps that run at the same time; the others wait in the queue."""
    max_driver_attempts: int = Field(default=5, ge=1)
    """Number of drivers that may die without progress before the sweep fails."""
    reconcile_seconds: float = Field(default=1.0, gt=0)
    """Pause between two passes of the reconciler; none after a sweep has changed its state."""
    lease_seconds: float = Field(default=10.0, gt=0)
    """Leader lease duration: another service takes over from a leader that is silent so long."""
    housekeeping_seconds: float = Field(default=30.0, gt=0)
    """Pause between two passes of housekeeping, which stops orphaned drivers."""
    keep_events_days: float = Field(default=30.0, ge=0)
    """Age at which the events of ended sweeps are deleted, except the last of each sweep."""
    min_free_bytes: int = Field(default=2**30, ge=0)
    """Free space below which the storage folder counts as full and no sweep starts."""
    cluster_autoscales: bool = False
    """Whether nodes are added on demand: a sweep then starts although no node fits its trials."""
    auth: Literal["auto", "required"] = "auto"
    """When callers need a token: ``auto`` once a token exists, ``required`` always."""
    allow_code: Literal["auto", "off", "admin", "submit"] = "auto"
    """Who may submit code of their own, which runs on the cluster: callers who need no token
    (``auto``), none (``off``), or tokens of the role ``admin`` or ``submit``."""
    admin_token_file: Path | None = None
    """File with an administrator's token, valid while this is set."""
    session_hours: float = Field(default=12, gt=0, le=24 * 365)
    """Duration of a login session of the page."""
    allowed_hosts: Names = ()
    """Host names in requests that are accepted besides this machine's; ``*`` accepts any."""
    trusted_proxies: Names = ()
    """Proxy addresses whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are trusted."""
    requests_per_second: float = Field(default=50, gt=0)
    """Sustained request rate of one caller; not limited where no token is needed."""
    request_burst: int = Field(default=300, ge=1)
    """Number of requests of one caller that may arrive at once."""
    log_format: Literal["text", "json"] = "text"
    """Log format: text for people, or one JSON object per line."""
    webhook_urls: Urls = ()
    """URLs that are notified when a sweep has ended."""
    webhook_secret_file: Path | None = None
    """File with the key that signs notifications."""
    webhook_private_addresses: bool = False
    """Whether webhook URLs may be in private networks or on this machine."""
    keep_checkpoints_days: float | None = Field(default=None, ge=0)
    """Age at which ``sasam prune`` deletes the checkpoints of ended sweeps; never if None."""

    @field_validator("storage_path")
    @classmethod
    def _require_known_storage(cls, value: str) -> str:
        """Reject an unknown scheme, which a driver would take for a relative path."""
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
        """The effective SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.home / 'sasam.db'}"

    @property
    def resolved_storage_path(self) -> str:
        """Where checkpoints are stored: a folder, or an address on S3."""
        return self.storage_path or str(self.home / "storage")

    @property
    def resolved_scratch_path(self) -> str:
        """The folder of journals and prepared images: the storage's, unless that is on S3."""
        if not self.storage_is_on_s3:
            return self.resolved_storage_path
        return self.scratch_path or str(self.home / "storage")

    @property
    def storage_is_on_s3(self) -> bool:
        """Whether checkpoints are in an object store, which the service does not access."""
        return isinstance(locate(self.storage_path), S3Path)

    @property
    def resolved_data_dir(self) -> Path:
        """The effective data folder."""
        return self.data_dir or self.home / "data"

    def sweep_page_url(self, sweep_id: str) -> str:
        """Address of a sweep's page for browsers."""
        base = str(self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
        return f"{base}/sweeps/{sweep_id}"

    def mlflow_run_url(self, experiment_id: str | None, run_id: str | None) -> str | None:
        """Link to a run in MLflow's UI; None if the run does not exist yet."""
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
