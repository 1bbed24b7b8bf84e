"""The estimate against what real networks and optimizers keep."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from workers.example_inputs import ImageInputs
from workers.models import build_model
from workers.optimizers import build_optimizer
from workers.spec import validate_spec
from workers.training.memory import (
    TrialMemory,
    estimate_memory,
    host_bytes,
    measure_memory,
    optimizer_copies,
)

OPTIMIZERS = [
    "sa-sam",
    "sa-sgd",
    "sam",
    {"name": "sam", "momentum": 0.9},
    "msgd",
    {"name": "msgd", "momentum": 0.0},
    "adam",
    "adamw",
    "nadamw",
    "lion",
    "soap",
    "schedule-free-adamw",
    "schedule-free-sgd",
    "prodigy",
    "asam",
    "gsam",
    "friendly-sam",
    "looksam",
    {"name": "sam", "base": "adamw"},
]


def inputs_of(**shape: int) -> ImageInputs:
    return ImageInputs(**shape, mean=(), std=())


def specification(**changes: Any) -> Any:
    plain = {"name": "m", "dataset": "digits", "model": "cnn-tiny", "optimizers": ["sam"]}
    return validate_spec(plain | changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "size", "most"),
    [("cnn-tiny", 8, 1), ("vgg11-slim", 32, 1), ("timm:resnet10t", 32, 1), ("vit-small", 8, 1.7)],
)
def test_estimate_is_what_a_real_pass_keeps(model: str, size: int, most: float) -> None:
    """Attention on the meta device keeps its matrix, which the fused kernel of a CPU does not."""
    spec = specification(model=model, training={"batch_size": 8})
    shape = {"num_classes": 10, "in_channels": 3, "image_size": size}
    estimate = estimate_memory(spec.trials, inputs_of(**shape))
    network = build_model(spec.model, **shape).train()
    real = measure_memory(spec.trials, network, torch.zeros(8, 3, size, size))
    assert estimate is not None
    assert (estimate.weights, estimate.gradients) == (real.weights, real.gradients)
    assert real.activations <= estimate.activations <= most * real.activations
    values = sum(t.numel() for t in (*network.parameters(), *network.buffers()))
    assert estimate.weights >= 4 * values


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Let ``gc.get_objects`` list the objects of this test alone: it is fast then."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("few_objects")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizer_copies_are_those_alive_in_a_pass(optimizer: Any) -> None:
    trial = specification(optimizers=[optimizer]).trials[0]
    model = nn.Linear(311, 313, bias=False)
    made = build_optimizer(trial, model)
    images, most = torch.randn(4, 311), 0

    def closure() -> torch.Tensor:
        nonlocal most
        made.zero_grad()
        loss = model(images).square().mean()
        alive = [o for o in gc.get_objects() if type(o) in (torch.Tensor, nn.Parameter)]
        places = {t.data_ptr() for t in alive if t.numel() == 311 * 313}
        most = max(most, len(places) - 1)  # without the weights; there is no gradient yet
        loss.backward()
        return loss

    for _ in range(6):  # LookSAM perturbs in every fifth step
        made.step(closure)
    assert most == optimizer_copies(trial.optimizer)


def test_best_weights_and_the_largest_optimizer_count() -> None:
    shape = {"num_classes": 10, "in_channels": 1, "image_size": 8}
    plain = estimate_memory(specification().trials, inputs_of(**shape))
    more = estimate_memory(
        specification(optimizers=["msgd", "adam"], curvature={"at_best": True}).trials,
        inputs_of(**shape),
    )
    half = estimate_memory(specification().trials, inputs_of(**shape), value_bytes=lambda _: 2)
    assert plain is not None
    assert more is not None
    assert half is not None
    assert more.weights == 2 * plain.weights
    assert more.optimizer_state == 2 * plain.gradients
    assert half.activations == plain.activations // 2
    assert more.total == more.weights + 3 * more.gradients + more.activations


def test_largest_batch_counts() -> None:
    shape = {"num_classes": 10, "in_channels": 1, "image_size": 8}
    search = {"training.batch_size": [8, 64, 16]}
    largest = estimate_memory(specification(search=search).trials, inputs_of(**shape))
    (trial, *_) = specification(training={"batch_size": 64}).trials
    assert largest is not None
    assert largest.trial.training.batch_size == 64
    assert largest.total == estimate_memory([trial], inputs_of(**shape)).total


def test_memory_says_its_parts() -> None:
    gib = 2**30
    (trial, *_) = specification().trials
    assert str(TrialMemory(gib, gib, 2 * gib, 10**20, trial)) == (
        "9.3e+10 GiB (weights 1.0 GiB, gradients 1.0 GiB, optimizer state 2.0 GiB, "
        "activations 9.3e+10 GiB)"
    )


@pytest.mark.parametrize(("text", "expected"), [("1048576\n", 2**20), ("max\n", None)])
def test_host_bytes_are_limited_by_the_control_group(tmp_path, text, expected) -> None:
    file = tmp_path / "memory.max"
    file.write_text(text)
    whole = host_bytes(())
    assert host_bytes((file, tmp_path / "absent")) == (expected or whole)
