"""What a sweep has to wait for: room on the disk, a node that fits one of its trials."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from service.external.ray_jobs import NodeResources, RayJobs, RayUnavailableError
from service.settings import Settings

__all__ = ["Obstacles"]


class Obstacles:
    """The cluster and its storage as one pass of the reconciler finds them.

    Args:
        ray: The cluster.
        settings: Where the storage is, and how much of it must be free.
    """

    def __init__(self, ray: RayJobs, settings: Settings) -> None:
        self._ray = ray
        self._settings = settings
        self._nodes: list[NodeResources] | RayUnavailableError | None = None

    def to_start(self, specification: Mapping[str, Any]) -> str | None:
        """Why a sweep cannot start; None when nothing is in its way.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        full = _disk(self._settings)
        return full if full or self._settings.cluster_autoscales else self._misfit(specification)

    def to_go_on(self, specification: Mapping[str, Any]) -> str | None:
        """Why a sweep that has started stands still; None when nothing is in its way.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        return _disk(self._settings) or self._misfit(specification)

    def _misfit(self, specification: Mapping[str, Any]) -> str | None:
        """Whether a trial is larger than every node; the defaults are the driver's."""
        nodes, wanted = self._ask_once(), specification["resources"]
        cpus = 1.0 if wanted["cpu"] is None else wanted["cpu"]
        gpus = wanted["gpu"]
        if gpus is None:
            gpus = 1.0 if any(node.gpus for node in nodes) else 0.0
        if any(node.cpus >= cpus and node.gpus >= gpus for node in nodes):
            return None
        sizes = sorted({(node.cpus, node.gpus) for node in nodes}, reverse=True)
        found = ", ".join(f"{cpus:g} CPU + {gpus:g} GPU" for cpus, gpus in sizes[:5])
        return (
            f"no node of the cluster fits a trial of {cpus:g} CPU + {gpus:g} GPU "
            f"(nodes: {found or 'none'}); add one, or ask for less under resources"
        )

    def _ask_once(self) -> list[NodeResources]:
        """The nodes; a cluster that does not answer keeps a pass waiting once, not every sweep."""
        if self._nodes is None:
            try:
                self._nodes = self._ray.nodes()
            except RayUnavailableError as error:
                self._nodes = error
        if isinstance(self._nodes, RayUnavailableError):
            raise self._nodes
        return self._nodes


def _disk(settings: Settings) -> str | None:
    """Whether the storage is full, where this process can see it."""
    path = settings.resolved_scratch_path
    try:
        free = shutil.disk_usage(path).free
    except OSError:
        return None
    if free >= settings.min_free_bytes:
        return None
    least = f"{settings.min_free_bytes / 2**20:,.0f} MiB"
    return f"the disk under {path} is full: less than {least} are free; make room"
