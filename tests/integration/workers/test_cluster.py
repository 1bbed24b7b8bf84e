"""Resources of a trial and concurrency on a real cluster of one node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import ray

from tests.support.driver_jobs import ROOT
from tests.support.specifications import DIGITS
from workers.cluster import cluster_slots, trial_resources
from workers.spec import ResourcesSpec, validate_spec

NODE_BYTES = 10**9
STOPPED_SLOWLY = """
import time
from workers.cluster import connected

try:
    with connected():
        print("connected", flush=True)
        time.sleep(60)
finally:
    time.sleep(4)
    print("delivered", flush=True)
"""


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


def test_stopped_driver_may_deliver_for_longer_than_three_seconds() -> None:
    """Ray's own handler of SIGTERM aborts a process after three."""
    address = ray.get_runtime_context().gcs_address
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED_SLOWLY],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "delivered\n"
    assert process.returncode == signal.SIGTERM
