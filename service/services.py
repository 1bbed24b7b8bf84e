"""The services of one application, built once from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from service.events.broadcast import Broadcast
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.observation.cluster import ClusterWatch
from service.observation.metrics import Metrics
from service.observation.readiness import ReadinessWatch
from service.security.audit import AuditLog
from service.security.authentication import Authentication
from service.settings import Settings
from service.storage import Database
from service.summaries.service import SummaryService
from service.webhooks.delivery import Webhooks

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that endpoints, pages and the lifespan of an application share.

    Args:
        settings: Limits and addresses.
        database: Sweeps, trials, events, tokens.
        ray: Client of Ray's Jobs API.
        mlflow: Client of MLflow.
        readiness: State of the external services and the leader lease.
        summaries: Tuning-sensitivity summaries and figures.
        broadcast: Events for any number of readers.
        metrics: Prometheus metrics.
        authentication: Tokens and sessions.
        audit: Audit log.
        webhooks: Delivery of webhooks.
    """

    settings: Settings
    database: Database
    ray: RayJobs
    mlflow: MlflowGateway
    readiness: ReadinessWatch
    summaries: SummaryService
    broadcast: Broadcast
    metrics: Metrics
    authentication: Authentication
    audit: AuditLog
    webhooks: Webhooks

    @classmethod
    def build(cls, settings: Settings) -> Self:
        """Build all services; connections are opened on first use."""
        database = Database(settings.resolved_database_url)
        ray = RayJobs(settings)
        mlflow = MlflowGateway(str(settings.mlflow_tracking_uri).rstrip("/"))
        return cls(
            settings=settings,
            database=database,
            ray=ray,
            mlflow=mlflow,
            readiness=ReadinessWatch(database, ray, mlflow, settings.lease_seconds),
            summaries=SummaryService(database, mlflow),
            broadcast=Broadcast(database),
            metrics=Metrics(database, ClusterWatch(ray)),
            authentication=Authentication(database, settings),
            audit=AuditLog(database),
            webhooks=Webhooks(database, settings),
        )

    def close(self) -> None:
        """Close connections."""
        self.ray.close()
        self.database.close()
