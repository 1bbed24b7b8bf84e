"""Prometheus metrics of requests, the reconciler, sweeps, trials, webhooks and the cluster.

Metrics of sweeps, trials and webhooks are read from the database at each scrape: they are the same
for all services on one database. Metrics of requests and of the reconciler are per service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.events import EventKind
from service.observation.cluster import ClusterWatch
from service.states import SweepState
from service.storage import Database, EventRow, SweepRow, TrialRow
from service.storage.webhook_tables import DeliveryRow
from workers.metrics import Outcome

__all__ = ["Metrics"]

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PASS_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of ``/metrics``.

    Args:
        database: The database with the sweeps.
        cluster: Source of the utilization of the cluster.
    """

    def __init__(self, database: Database, cluster: ClusterWatch) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "sasam_http_request_seconds",
            "Time until the response to a request, by the template of its path",
            ("method", "route", "status"),
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self._passes = Histogram(
            "sasam_reconcile_seconds",
            "Time of a pass of the reconciler over all live sweeps",
            buckets=_PASS_SECONDS,
            registry=self.registry,
        )
        self._failed_passes = Counter(
            "sasam_reconcile_failures",
            "Passes of the reconciler that failed",
            registry=self.registry,
        )
        self._leader = Gauge(
            "sasam_leader", "1 where this service drives the sweeps", registry=self.registry
        )
        self.registry.register(_Sweeps(database))
        self.registry.register(_Cluster(cluster))

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and its duration."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def observe_pass(self, seconds: float, failed: bool) -> None:
        """Count a pass of the reconciler and its duration."""
        self._passes.observe(seconds)
        if failed:
            self._failed_passes.inc()

    def watch_leader(self, is_leader: Callable[[], bool]) -> None:
        """Call ``is_leader`` at each scrape."""
        self._leader.set_function(is_leader)


class _Sweeps(Collector):
    """Metrics from the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        """Sweeps by state, trials by outcome, age of the oldest queued sweep, webhooks."""
        sweeps = GaugeMetricFamily("sasam_sweeps", "Sweeps by state", labels=["state"])
        trials = GaugeMetricFamily(
            "sasam_trials",
            "Trials by outcome; 'unfinished' for those without one",
            labels=["outcome"],
        )
        age = GaugeMetricFamily(
            "sasam_queue_age_seconds", "How long the oldest queued sweep has been waiting"
        )
        webhooks = GaugeMetricFamily("sasam_webhooks_pending", "Messages still to be delivered")
        with self._database.snapshot() as session:
            by_state = _count_by(session, SweepRow.state)
            by_outcome = _count_by(session, TrialRow.outcome)
            queued_at = (
                select(func.max(EventRow.created_at))
                .join(SweepRow, SweepRow.sweep_id == EventRow.sweep_id)
                .where(SweepRow.state == SweepState.QUEUED, EventRow.kind == EventKind.STATE)
                .group_by(EventRow.sweep_id)
            )
            oldest = min(session.scalars(queued_at), default=None)
            pending = select(func.count()).where(DeliveryRow.due_at.is_not(None))
            webhooks.add_metric([], session.scalar(pending) or 0)
        for state in SweepState:
            sweeps.add_metric([state], by_state.get(state, 0))
        for outcome in Outcome:
            trials.add_metric([outcome], by_outcome.get(outcome, 0))
        trials.add_metric(["unfinished"], by_outcome.get(None, 0))
        waited = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
        age.add_metric([], waited)
        return [sweeps, trials, age, webhooks]

    def describe(self) -> Iterable[Metric]:
        """Nothing: registration must not query the database."""
        return []


def _count_by(session: Session, column: InstrumentedAttribute[Any]) -> dict[str | None, int]:
    """Number of rows by the value of a column."""
    query = select(column, func.count()).group_by(column)
    return {value: int(count) for value, count in session.execute(query)}


class _Cluster(Collector):
    """Metrics of Ray's nodes."""

    def __init__(self, cluster: ClusterWatch) -> None:
        self._cluster = cluster

    def collect(self) -> Iterable[Metric]:
        """Whether Ray answers; number and utilization of nodes, processor cores and GPUs."""
        usage = self._cluster.latest()
        yield GaugeMetricFamily("sasam_ray_up", "1 where Ray answers", value=usage is not None)
        if usage is None:
            return
        for name, text, value in (
            ("nodes", "Nodes that are alive", usage.nodes),
            ("cpus", "Processor cores that Ray may give to trials", usage.cpus),
            ("gpus", "GPUs that Ray may give to trials", usage.gpus),
            ("cpu_utilization", "Busy share of the nodes' processors", usage.cpu_utilization),
            ("gpu_utilization", "Busy share of the nodes' GPUs", usage.gpu_utilization),
            ("gpu_memory_used_bytes", "Memory in use on GPUs", usage.gpu_memory_used_bytes),
            ("gpu_memory_bytes", "Memory of GPUs", usage.gpu_memory_bytes),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"sasam_cluster_{name}", text, value=value)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registration must not wait for Ray."""
        return []
