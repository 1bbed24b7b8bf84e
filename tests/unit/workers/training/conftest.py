from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workers.spec import validate_spec
from workers.trial_data import DeviceData, load_trial_data

SPEC = {
    "name": "digits",
    "dataset": {"name": "digits", "train_size": 256, "test_size": 100},
    "ood": {"corruptions": "benchmark", "severities": [1, 5], "images": 20},
    "model": {"name": "cnn-tiny", "kwargs": {"width": 4}},
    "optimizers": ["sa-sam", "sam", "sa-sgd", "msgd", "adam"],
    "search": {"learning_rate": [0.01], "weight_decay": [1e-4]},
    "training": {"epochs": 3, "batch_size": 64, "augmentation": "none"},
    "curvature": {"images": 40},
}


@pytest.fixture
def spec_dict():
    """A small sweep as plain data, to be changed by a test."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in SPEC.items()}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def device_data(data_dir) -> DeviceData:
    spec = validate_spec(SPEC)
    data = load_trial_data(spec.dataset, spec.ood, data_dir=data_dir, cache_dir=data_dir / "cache")
    return DeviceData(data, torch.device("cpu"))


@pytest.fixture
def make_trial(spec_dict):
    """Build the configuration of a trial of the small sweep, with changes to its sections."""

    def make(optimizer="adam", *, learning_rate=0.01, seed=0, **sections):
        changed = {
            key: value if value is None else {**spec_dict[key], **value}
            for key, value in sections.items()
        }
        spec = validate_spec(
            spec_dict
            | {
                "optimizers": [optimizer],
                "search": {"learning_rate": [learning_rate], "weight_decay": [1e-4]},
                "seeds": [seed],
            }
            | changed
        )
        return spec.trials[0]

    return make
