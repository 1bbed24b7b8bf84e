"""A user's own code before and in a trial: refusals of preflight, and a trial that uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workers.spec import SpecError, validate_spec
from workers.training import preflight
from workers.training.__main__ import run_alone

FILES = {
    "opt.py": """\
import torch

class Mine(torch.optim.Adam):
    def __init__(self, params, lr):
        if lr > 1:
            raise ValueError("too large")
        super().__init__(params, lr=lr)

def number(model): return 3

THREE = 3
""",
    "net.py": """\
from torch import nn

def linear(num_classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(image_size**2, num_classes))
""",
    "data.py": """\
import numpy as np

def halves(images=200):
    generator = np.random.default_rng(0)
    labels = np.arange(images) % 2
    pixels = generator.integers(0, 100, (images, 8, 8, 1), dtype=np.uint8)
    pixels[labels == 1, :4] += 100
    return pixels[50:], labels[50:], pixels[:50], labels[:50]
""",
    "fails.py": "x = 1\n\nraise RuntimeError('it broke')\n",
    "lacks.py": "import no_such_package\n\nf = 1\n",
}


def specification(**changes: Any) -> dict[str, Any]:
    """A sweep of one trial whose optimizer, model and data set are from files."""
    return {
        "name": "own",
        "dataset": "./data.py:halves",
        "ood": None,
        "model": "./net.py:linear",
        "optimizers": ["./opt.py:Mine"],
        "search": {"learning_rate": [0.01], "weight_decay": [0]},
        "training": {"epochs": 3, "batch_size": 25, "augmentation": "none"},
        "curvature": {"images": 50, "splits": ["validation"]},
        "files": {name: FILES[name] for name in ("opt.py", "net.py", "data.py")},
    } | changes


@pytest.mark.slow
def test_trial_trains_with_code_from_files(tmp_path: Path) -> None:
    *_, last = run_alone(validate_spec(specification()), 0, data_dir=tmp_path, device="cpu")
    assert last["outcome"] == "completed"
    assert last["val_accuracy"] > 0.9
    assert last["hessian_trace.validation"] > 0


@pytest.mark.parametrize(
    ("section", "names", "path", "message"),
    [
        (
            {"optimizers": ["./fails.py:x"]},
            ("net.py", "data.py", "fails.py"),
            "optimizers[0].name",
            "cannot be imported: fails.py, line 3: RuntimeError: it broke",
        ),
        (
            {"model": "./lacks.py:f"},
            ("opt.py", "data.py", "lacks.py"),
            "model.name",
            "cannot be imported: lacks.py, line 1: ModuleNotFoundError: No module named "
            "'no_such_package'; install it on the nodes, or import another file of yours as "
            ".no_such_package",
        ),
        (
            {"optimizers": ["./opt.py:THREE"]},
            ("opt.py", "net.py", "data.py"),
            "optimizers[0].name",
            "THREE is int, no optimizer: must be a subclass of torch.optim.Optimizer or a "
            "function (model, lr, weight_decay) that returns one",
        ),
        (
            {"dataset": "no_such_package.module:load"},
            ("opt.py", "net.py"),
            "dataset.name",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'; install "
            "it on the nodes",
        ),
        (
            {"search": {"learning_rate": [0.1, 2.0], "weight_decay": [0]}},
            ("opt.py", "net.py", "data.py"),
            "optimizers[0]",
            "opt.py, line 6: ValueError: too large",
        ),
        (
            {"search": {"learning_rate": [0.1], "weight_decay": [0.1]}},
            ("opt.py", "net.py", "data.py"),
            "optimizers[0]",
            "Mine takes no weight_decay: must be 0, got 0.1",
        ),
        (
            {"dataset": {"name": "./data.py:halves", "kwargs": {"number": 3}}},
            ("opt.py", "net.py", "data.py"),
            "dataset.name",
            "data set data.py:halves failed: TypeError: halves() got an unexpected keyword "
            "argument 'number'; correct its code or the options in dataset.kwargs",
        ),
    ],
)
def test_preflight_refuses_code_in_one_line(
    section: dict[str, Any], names: tuple[str, ...], path: str, message: str, tmp_path: Path
) -> None:
    files = {name: FILES[name] for name in names}
    spec = validate_spec(specification(**section, files=files))
    with pytest.raises(SpecError) as caught:
        preflight(spec, data_dir=tmp_path, cache_dir=tmp_path / "cache")
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == (path, message)
