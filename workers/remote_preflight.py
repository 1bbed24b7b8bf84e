"""Preflight in a process of its own on the driver's node.

A driver lives as long as its sweep; without torch it takes a quarter of the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from workers.cluster import largest_node_bytes
from workers.spec import SweepSpec

__all__ = ["SweepFacts", "start_preflight"]


@dataclass(frozen=True, slots=True)
class SweepFacts:
    """What a driver needs of `workers.training.PreflightFacts`.

    Args:
        tags: Tags of MLflow, one per fact.
        classes: Number of classes.
        data_fingerprint: Digest of the data.
        trial_memory_bytes: Memory of a trial, in bytes.
    """

    tags: Mapping[str, str]
    classes: int
    data_fingerprint: str
    trial_memory_bytes: int


def start_preflight(
    specification: SweepSpec, *, data_dir: Path, cache_dir: Path
) -> Callable[[], SweepFacts]:
    """Start preflight, in a task of the connected cluster that takes none of its resources.

    Args:
        specification: Specification of the sweep.
        data_dir: Folder of the data sets.
        cache_dir: Folder of prepared images.

    Returns:
        Waits for the end and returns what was found. It raises SpecError if the sweep cannot run
        here, and what preflight raises else.
    """
    node = ray.get_runtime_context().get_node_id()
    task = ray.remote(_preflight).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )
    found = task.remote(specification, data_dir, cache_dir)

    def wait() -> SweepFacts:
        try:
            facts: SweepFacts = ray.get(found)
        except RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from error
            raise
        return facts

    return wait


def _preflight(specification: SweepSpec, data_dir: Path, cache_dir: Path) -> SweepFacts:
    """The task."""
    from workers.training import preflight  # imports torch

    facts = preflight(
        specification,
        data_dir=data_dir,
        cache_dir=cache_dir,
        largest_node_bytes=lambda: largest_node_bytes(specification.resources),
    )
    return SweepFacts(
        tags=facts.tags(),
        classes=facts.classes,
        data_fingerprint=facts.data_fingerprint,
        trial_memory_bytes=facts.trial_memory_bytes,
    )
