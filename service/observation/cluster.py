"""Utilization of the Ray cluster, requested in the background so that no request waits for Ray."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.external.ray_jobs import RayJobs, RayUnavailableError

__all__ = ["ClusterUsage", "ClusterWatch", "usage_of"]

_FRESH_SECONDS = 10.0
_STALE_SECONDS = 90.0
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class ClusterUsage:
    """Sums and means over the nodes that are alive.

    Attributes:
        nodes: Number of nodes.
        cpus: Processor cores for trials.
        gpus: GPUs for trials.
        cpu_utilization: Busy share of the processors in [0, 1].
        gpu_utilization: Busy share of the GPUs in [0, 1]; None without GPUs.
        gpu_memory_used_bytes: Memory in use on GPUs; None without GPUs.
        gpu_memory_bytes: Memory of the GPUs; None without GPUs.
    """

    nodes: int
    cpus: float
    gpus: float
    cpu_utilization: float | None
    gpu_utilization: float | None
    gpu_memory_used_bytes: float | None
    gpu_memory_bytes: float | None


class ClusterWatch:
    """The latest utilization of the cluster.

    Args:
        ray: The cluster.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, ray: RayJobs, clock: Callable[[], float] = time.monotonic) -> None:
        self._ray = ray
        self._clock = clock
        self._requesting = threading.Lock()
        self._known: tuple[float, ClusterUsage] | None = None

    def latest(self) -> ClusterUsage | None:
        """The latest utilization; starts a new request if it is older than 10 s.

        None before the first answer of Ray, and when the latest is older than 90 s.
        """
        known, now = self._known, self._clock()
        age = now - known[0] if known else float("inf")
        if age > _FRESH_SECONDS and self._requesting.acquire(blocking=False):
            threading.Thread(target=self._request, name="cluster", daemon=True).start()
        return known[1] if known and age <= _STALE_SECONDS else None

    def _request(self) -> None:
        """Request the utilization from Ray."""
        try:
            self._known = self._clock(), usage_of(self._ray.node_summaries())
        except RayUnavailableError:
            pass  # the latest utilization becomes stale
        finally:
            self._requesting.release()


def usage_of(nodes: Sequence[Mapping[str, Any]]) -> ClusterUsage:
    """The utilization of the cluster from Ray's summaries of its nodes.

    Raises:
        RayUnavailableError: The summaries are not in the format of Ray 2.60.
    """
    try:
        alive = [node for node in nodes if node["raylet"]["state"] == "ALIVE"]
        totals = [node["raylet"]["resourcesTotal"] for node in alive]
        devices = [device for node in alive for device in node.get("gpus") or ()]
        busy = [device["utilizationGpu"] or 0 for device in devices]
        return ClusterUsage(
            nodes=len(alive),
            cpus=sum(total.get("CPU", 0) for total in totals),
            gpus=sum(total.get("GPU", 0) for total in totals),
            cpu_utilization=_share([node["cpu"] for node in alive]),
            gpu_utilization=_share(busy),
            gpu_memory_used_bytes=_bytes([device["memoryUsed"] for device in devices]),
            gpu_memory_bytes=_bytes([device["memoryTotal"] for device in devices]),
        )
    except (LookupError, TypeError) as error:
        raise RayUnavailableError(f"unknown format of Ray's node summaries: {error!r}") from error


def _share(percents: Sequence[float]) -> float | None:
    """Mean of percentages as a share in [0, 1]; None without any."""
    return sum(percents) / len(percents) / 100 if percents else None


def _bytes(mebibytes: Sequence[float]) -> float | None:
    """Sum in bytes; None without any."""
    return sum(mebibytes) * _MIB if mebibytes else None
