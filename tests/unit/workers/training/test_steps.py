from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from workers.training.steps import Stepper

BUILDERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "fused sgd": partial(torch.optim.SGD, lr=0.1, fused=True),
    "fused adam": partial(torch.optim.Adam, lr=0.1, fused=True),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_step_that_gradient_scaling_skips_is_counted(build):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    images, labels = torch.randn(6, 4), torch.arange(6) % 3
    stepper = Stepper(build(model.parameters()), model, model, scale_gradients=True)
    for factor in (1.0, 1e35, 1.0, 1e35):  # a scaled gradient of 1e35 overflows
        before = model.weight.detach().clone()
        stepper.step(factor * images, labels, learning_rate=0.1)
        assert torch.equal(before, model.weight) == (factor > 1)
    assert stepper.finish_epoch()["skipped_steps"] == 2

    resumed = Stepper(build(model.parameters()), model, model, scale_gradients=True)
    resumed.load_state_dict(stepper.state_dict())
    resumed.step(images, labels, learning_rate=0.1)
    assert resumed.finish_epoch()["skipped_steps"] == 2


def test_state_of_an_earlier_release_without_skipped_steps_is_loaded():
    model = nn.Linear(4, 3)
    stepper = Stepper(BUILDERS["sgd"](model.parameters()), model, model)
    state = stepper.state_dict()
    del state["skipped_steps"]
    stepper.load_state_dict(state)
    stepper.step(torch.randn(6, 4), torch.arange(6) % 3, learning_rate=0.1)
    assert stepper.finish_epoch()["skipped_steps"] == 0
