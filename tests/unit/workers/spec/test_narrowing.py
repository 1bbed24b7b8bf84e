"""Specifications narrowed to one configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workers.spec import validate_spec
from workers.spec.narrowing import narrowed

BASE = {"name": "whole", "dataset": "digits", "model": "cnn-tiny", "seeds": [3, 4]}
GRID = {
    "optimizers": ["sam", "msgd"],
    "search": {"learning_rate": [0.1, 0.01], "weight_decay": [0, 1e-4]},
}
OWN_AXES = {
    "optimizers": [
        {"name": "sam", "label": "SAM wide", "search": {"rho": [0.02, 0.05]}},
        {"name": "adamw", "search": {"betas": [[0.9, 0.95], [0.9, 0.999]]}},
    ],
    "search": {
        "learning_rate": [0.1],
        "training.batch_size": [32, 64],
        "model.kwargs.width": [8, 16],
        "dataset.train_size": [100, 200],
    },
}
RANDOM = {
    "optimizers": ["msgd"],
    "search": {
        "type": "random",
        "trials": 5,
        "learning_rate": {"low": 1e-4, "high": 1, "scale": "log"},
        "optimizer.momentum": [0, 0.9],
    },
    "early_stopping": {"type": "asha"},
    "training": {"epochs": 20},
}
FIXED = {
    "optimizers": [{"name": "sam", "search": {"rho": 0.1}}, "msgd"],
    "search": {
        "learning_rate": [0.1, 0.2],
        "weight_decay": 1e-4,
        "optimizer.momentum": 0.5,
        "training.batch_size": 32,
    },
}
OWN_DEFAULT = {
    "optimizers": ["adamw"],
    "search": {"learning_rate": [0.1, 0.2], "weight_decay": None},
}
WITHOUT_RATE = {"optimizers": ["prodigy"], "search": {"training.batch_size": [32, 64]}}


@pytest.mark.parametrize("changes", [GRID, OWN_AXES, RANDOM, FIXED, OWN_DEFAULT, WITHOUT_RATE])
def test_narrowed_specification_has_the_trial_under_its_key(changes: dict[str, Any]) -> None:
    whole = validate_spec(BASE | changes)
    for trial in whole.trials[:: max(1, len(whole.trials) // 12)]:
        label = trial.optimizer_label
        values = trial.values_of(whole.axes(label)).plain()
        plain = json.loads(json.dumps(narrowed(whole, label, values, [trial.seed])))
        (again,) = validate_spec(plain).trials
        assert again.key == trial.key
    both = narrowed(whole, label, values, whole.seeds)
    keys = {trial.key for trial in whole.trials}
    assert {trial.key for trial in validate_spec(both).trials} < keys
