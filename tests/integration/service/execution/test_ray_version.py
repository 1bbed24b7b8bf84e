"""No sweep is started on a Ray whose authentication by token is incomplete."""

from __future__ import annotations

import pytest

from service.external.ray_jobs import RayJobs, RayUnavailableError
from service.settings import Settings
from tests.support.ray_stand_in import RayStandIn
from workers.job import DriverJob
from workers.spec import SweepSpec

SPECIFICATION = {
    "name": "small",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": ["msgd"],
    "search": {"learning_rate": [0.1], "weight_decay": [0]},
    "training": {"epochs": 1, "batch_size": 64, "augmentation": "none"},
}


@pytest.mark.parametrize("version", ["2.56.0", "2.60.0", "3.0.0", "2.100.0.dev0"])
def test_version_that_is_new_enough_is_a_sign_of_life(ray: RayStandIn, version: str) -> None:
    ray.body = b'{"ray_version": "%s"}' % version.encode()
    assert RayJobs(Settings(ray_address=ray.address)).version() == version


@pytest.mark.parametrize("version", ["2.55.1", "1.13.0", "2.9.3", "nightly"])
def test_version_that_is_too_old_gets_no_driver(ray: RayStandIn, version: str) -> None:
    ray.body = b'{"ray_version": "%s"}' % version.encode()
    jobs = RayJobs(Settings(ray_address=ray.address))
    job = DriverJob(
        sweep_id="0123456789ab",
        attempt=1,
        specification=SweepSpec.model_validate(SPECIFICATION),
        mlflow_tracking_uri="http://127.0.0.1:1",
        storage_path="/nowhere",
        scratch_path="/nowhere",
        data_dir="/nowhere",
    )
    with pytest.raises(RayUnavailableError, match=rf"version {version}; .*2\.56 or newer"):
        jobs.submit(job)
    assert ray.submissions == []
