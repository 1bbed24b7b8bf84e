"""Resources of a trial and concurrency on a real cluster of one node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from tests.support.specifications import DIGITS
from workers.cluster import cluster_slots, trial_resources
from workers.spec import ResourcesSpec, validate_spec

NODE_BYTES = 10**9


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    """A node of four CPUs and a gigabyte."""
    ray.init(num_cpus=4, _memory=NODE_BYTES, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_trials_that_together_exceed_a_node_do_not_run_at_the_same_time() -> None:
    search = {"type": "tpe", "trials": 8}
    specification = validate_spec(DIGITS | {"search": search})
    for memory_bytes, expected in ((NODE_BYTES // 10, 4), (NODE_BYTES // 3, 3), (NODE_BYTES, 1)):
        resources = trial_resources(specification.resources, memory_bytes)
        assert resources == {"CPU": 1.0, "memory": memory_bytes}
        assert cluster_slots(specification, resources)() == expected


def test_estimate_beyond_the_largest_node_reserves_that_node() -> None:
    reserved = trial_resources(ResourcesSpec(cpu=2.0), 100 * NODE_BYTES)
    assert reserved == {"CPU": 2.0, "memory": NODE_BYTES}
    large = ray.remote(lambda: "ran").options(num_cpus=2, memory=reserved["memory"])
    assert ray.get(large.remote(), timeout=60) == "ran"
