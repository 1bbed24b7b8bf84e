"""Preconditions of a sweep: free disk space, a node that fits one of its trials."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from service.external.ray_jobs import NodeResources, RayJobs, RayUnavailableError
from service.settings import Settings

__all__ = ["Preconditions"]


class Preconditions:
    """Checks against the cluster and its storage, for one pass of the reconciler.

    Args:
        ray: The cluster.
        settings: Path of the storage, and the space that must be free.
    """

    def __init__(self, ray: RayJobs, settings: Settings) -> None:
        self._ray = ray
        self._settings = settings
        self._nodes: list[NodeResources] | RayUnavailableError | None = None

    def to_start(self, specification: Mapping[str, Any]) -> str | None:
        """Why a sweep cannot start; None if it can.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        full = _full_disk(self._settings)
        return full if full or self._settings.cluster_autoscales else self._no_fit(specification)

    def to_continue(self, specification: Mapping[str, Any]) -> str | None:
        """Why a running sweep cannot continue; None if it can.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        return _full_disk(self._settings) or self._no_fit(specification)

    def _no_fit(self, specification: Mapping[str, Any]) -> str | None:
        """The reason if a trial is larger than every node, else None; defaults as in the driver."""
        nodes, resources = self._request_nodes(), specification["resources"]
        cpus = 1.0 if resources["cpu"] is None else resources["cpu"]
        gpus = resources["gpu"]
        if gpus is None:
            gpus = 1.0 if any(node.gpus for node in nodes) else 0.0
        if any(node.cpus >= cpus and node.gpus >= gpus for node in nodes):
            return None
        sizes = sorted({(node.cpus, node.gpus) for node in nodes}, reverse=True)
        found = ", ".join(f"{cpus:g} CPU + {gpus:g} GPU" for cpus, gpus in sizes[:5])
        return (
            f"no node of the cluster fits a trial of {cpus:g} CPU + {gpus:g} GPU "
            f"(nodes: {found or 'none'}); add one, or request less under resources"
        )

    def _request_nodes(self) -> list[NodeResources]:
        """The nodes; requested once per pass, so that a timeout is not repeated for every sweep."""
        if self._nodes is None:
            try:
                self._nodes = self._ray.nodes()
            except RayUnavailableError as error:
                self._nodes = error
        if isinstance(self._nodes, RayUnavailableError):
            raise self._nodes
        return self._nodes


def _full_disk(settings: Settings) -> str | None:
    """The reason if the storage is full, else None; also None if this process cannot see it."""
    path = settings.resolved_scratch_path
    try:
        free = shutil.disk_usage(path).free
    except OSError:
        return None
    if free >= settings.min_free_bytes:
        return None
    needed = f"{settings.min_free_bytes / 2**20:,.0f} MiB"
    return f"the disk under {path} is full: less than {needed} are free; make room"
