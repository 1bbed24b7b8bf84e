"""The Ray cluster as a driver sees it: connection, resources of a trial, concurrency, memory."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from workers.spec import ResourcesSpec, SpecError, SpecProblem, SweepSpec

__all__ = [
    "cluster_slots",
    "connected",
    "largest_node_bytes",
    "trial_numerics",
    "trial_resources",
]

_COUNT_SECONDS = 2.0
"""How long a count of the cluster's slots is used; a cluster grows in minutes."""


@contextmanager
def connected() -> Iterator[None]:
    """Connect the main thread to the Ray cluster, unless this process is connected already.

    SIGTERM raises ``SystemExit``, and the process has all the time that it needs to end.
    """
    if ray.is_initialized():
        yield
        return
    ray.init(logging_level=logging.WARNING, log_to_driver=False)  # trials have logs of their own
    # Ray's C++ library has put a handler before its own Python one, which aborts after 3 s.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    try:
        yield
    finally:
        ray.shutdown()


def trial_resources(requested: ResourcesSpec, memory_bytes: int) -> dict[str, float]:
    """Resources of a trial: as requested, else one CPU, and one GPU if the cluster has any.

    A trial without a GPU reserves its memory, so that Ray runs only as many trials on a node, of
    all sweeps, as its memory holds. The reservation is at most the memory of the largest node: the
    estimate must not keep a trial from ever starting.

    Args:
        requested: Resources section of the specification.
        memory_bytes: Estimated memory of a trial, in bytes.

    Raises:
        SpecError: The trial would have no resources.
    """
    gpu = requested.gpu
    if gpu is None:
        gpu = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    cpu = 1.0 if requested.cpu is None else requested.cpu
    if not cpu and not gpu:
        message = "must be above 0: a trial gets no GPU either, since the cluster has none"
        raise SpecError([SpecProblem("resources.cpu", message, f"{cpu:g}")])
    if gpu:
        return {"CPU": cpu, "GPU": gpu}
    node_bytes = max((node["Resources"].get("memory", 0) for node in _nodes()), default=0)
    memory = min(memory_bytes, node_bytes)
    return {"CPU": cpu, "memory": memory} if memory else {"CPU": cpu}


def trial_numerics(resources: Mapping[str, float], data_fingerprint: str) -> str:
    """The numerics of trials with these resources, from a task that runs where a trial could.

    Args:
        resources: Resources of a trial by name.
        data_fingerprint: Fingerprint of the data.
    """
    others = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    options = {"num_cpus": 0} | {others[name]: amount for name, amount in resources.items()}
    task = ray.remote(_describe_numerics).options(**options)
    numerics: str = ray.get(task.remote(dict(resources), data_fingerprint))
    return numerics


def _describe_numerics(resources: Mapping[str, float], data_fingerprint: str) -> str:
    """The task."""
    import torch  # a driver needs no torch

    from workers.numerics import describe_numerics

    torch.set_num_threads(max(1, int(resources.get("CPU", 1))))
    device = torch.device("cuda" if resources.get("GPU") else "cpu")
    return describe_numerics(device, data_fingerprint)


def cluster_slots(specification: SweepSpec, resources: Mapping[str, float]) -> Callable[[], float]:
    """A function that returns how many trials of a sweep the cluster can run at once, at least 1.

    Args:
        specification: Specification of the sweep.
        resources: Resources of a trial by name.
    """
    maximum = specification.resources.max_concurrent or math.inf
    counted, counted_at = 1.0, -math.inf

    def slots() -> float:
        nonlocal counted, counted_at
        if time.monotonic() - counted_at > _COUNT_SECONDS:
            counted, counted_at = count(), time.monotonic()
        return counted

    def count() -> float:
        cluster: dict[str, float] = ray.cluster_resources()
        by_resource = [
            math.floor(cluster.get(name, 0) / amount + 1e-9)  # 1 / 0.1 is ten
            for name, amount in resources.items()
            if amount
        ]
        return min(maximum, max(1.0, min(by_resource, default=cluster.get("CPU", 1.0))))

    return slots


def largest_node_bytes(requested: ResourcesSpec) -> float:
    """The largest memory of a node for a trial; infinite for GPUs, whose memory Ray does not know.

    Args:
        requested: Resources section of the specification.
    """
    with connected():
        nodes = [node["Resources"] for node in _nodes()]
    if requested.gpu != 0 and any(node.get("GPU", 0) for node in nodes):
        return math.inf
    return max(
        (node.get("memory", 0) + node.get("object_store_memory", 0) for node in nodes), default=0
    )


def _nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster that are alive, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]
