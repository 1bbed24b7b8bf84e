"""Utilization of the cluster from Ray's node summaries, and its requests in the background."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from service.external.ray_jobs import RayUnavailableError
from service.observation.cluster import ClusterUsage, ClusterWatch, usage_of


def node(cpu: float = 50.0, state: str = "ALIVE", gpus: Any = (), **total: float) -> dict[str, Any]:
    return {"cpu": cpu, "gpus": gpus, "raylet": {"state": state, "resourcesTotal": total}}


def gpu(busy: float | None, used: float) -> dict[str, Any]:
    return {"utilizationGpu": busy, "memoryUsed": used, "memoryTotal": 1000}


def test_nodes_that_are_alive_add_up() -> None:
    nodes = [
        node(50.0, CPU=2.0, GPU=2.0, gpus=[gpu(90, 500), gpu(None, 0)]),
        node(100.0, CPU=4.0),
        node(0.0, "DEAD", CPU=64.0),
    ]
    assert usage_of(nodes) == ClusterUsage(
        nodes=2,
        cpus=6.0,
        gpus=2.0,
        cpu_utilization=0.75,
        gpu_utilization=0.45,
        gpu_memory_used_bytes=500 * 2**20,
        gpu_memory_bytes=2000 * 2**20,
    )


def test_cluster_without_gpus_has_no_gpu_utilization() -> None:
    usage = usage_of([node(CPU=2.0)])
    assert (usage.gpus, usage.gpu_utilization, usage.gpu_memory_bytes) == (0, None, None)
    assert usage_of([]).cpu_utilization is None


def test_summaries_in_an_unknown_format_count_as_ray_unavailable() -> None:
    with pytest.raises(RayUnavailableError, match="unknown format"):
        usage_of([{"raylet": {}}])


class Ray:
    """A cluster that answers when it is let."""

    def __init__(self) -> None:
        self.may_answer, self.has_answered = threading.Event(), threading.Event()
        self.is_unavailable = False

    def node_summaries(self) -> list[dict[str, Any]]:
        assert self.may_answer.wait(10)
        try:
            if self.is_unavailable:
                raise RayUnavailableError("Ray does not answer")
            return [node(CPU=2.0)]
        finally:
            self.has_answered.set()


def test_latest_does_not_wait_for_ray_and_old_answers_expire() -> None:
    ray, now = Ray(), [0.0]
    watch = ClusterWatch(ray, lambda: now[0])  # type: ignore[arg-type]

    def ask() -> ClusterUsage | None:
        ray.has_answered.clear()
        return watch.latest()

    assert ask() is None  # Ray has not answered yet
    ray.may_answer.set()
    assert ray.has_answered.wait(10)
    with watch._requesting:
        pass
    known = watch.latest()
    assert known is not None
    assert known.cpus == 2
    ray.is_unavailable, now[0] = True, 60.0
    assert ask() == known  # and Ray is asked again
    assert ray.has_answered.wait(10)
    with watch._requesting:
        now[0] = 100.0
        assert watch.latest() is None
