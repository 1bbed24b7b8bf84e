from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

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
        stepper.step(factor * images, labels, factor=1.0)
        assert torch.equal(before, model.weight) == (factor > 1)
    assert stepper.finish_epoch()["skipped_steps"] == 2

    resumed = Stepper(build(model.parameters()), model, model, scale_gradients=True)
    resumed.load_state_dict(stepper.state_dict())
    resumed.step(images, labels, factor=1.0)
    assert resumed.finish_epoch()["skipped_steps"] == 2


def test_state_of_an_earlier_release_without_skipped_steps_is_loaded():
    model = nn.Linear(4, 3)
    stepper = Stepper(BUILDERS["sgd"](model.parameters()), model, model)
    state = stepper.state_dict()
    del state["skipped_steps"]
    stepper.load_state_dict(state)
    stepper.step(torch.randn(6, 4), torch.arange(6) % 3, factor=1.0)
    assert stepper.finish_epoch()["skipped_steps"] == 0


@pytest.fixture
def problem():
    """A linear classifier with a mini-batch."""
    torch.manual_seed(0)
    return nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3


def test_schedule_keeps_the_ratio_of_groups(problem):
    model, images, labels = problem
    groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    stepper = Stepper(optimizer, model, model)
    for factor in (1.0, 0.5, 1.0):
        stepper.step(images, labels, factor=factor)
        assert [group["lr"] for group in optimizer.param_groups] == [0.1 * factor, 0.01 * factor]
    resumed = Stepper(torch.optim.SGD(groups, lr=0.5), model, model)
    resumed.load_state_dict(stepper.state_dict())
    resumed.step(images, labels, factor=0.25)
    assert [group["lr"] for group in resumed.optimizer.param_groups] == [0.025, 0.0025]


class _Averaging(torch.optim.SGD):
    """Counts the switches between weights."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.switches = []

    def train(self):
        self.switches.append("train")

    def eval(self):
        self.switches.append("eval")


def test_train_and_eval_reach_the_optimizer_that_has_them(problem):
    model, _, _ = problem
    optimizer = _Averaging(model.parameters(), 0.1)
    stepper = Stepper(optimizer, model, model)
    assert stepper.averages_weights
    stepper.train()
    stepper.eval()
    assert optimizer.switches == ["train", "eval"]
    plain = Stepper(torch.optim.SGD(model.parameters(), lr=0.1), model, model)
    assert not plain.averages_weights
    plain.train()
    plain.eval()


@pytest.mark.slow
def test_optimizer_that_needs_a_closure_trains_with_scaled_gradients(problem):
    model, images, labels = problem
    twin = nn.Linear(4, 3)
    twin.load_state_dict(model.state_dict())
    steppers = [
        Stepper(torch.optim.LBFGS(net.parameters(), lr=0.1), net, net, scale_gradients=scales)
        for net, scales in ((model, True), (twin, False))
    ]
    for _ in range(3):
        for stepper in steppers:
            stepper.step(images, labels, factor=1.0)
    torch.testing.assert_close(model.weight, twin.weight, rtol=1e-4, atol=1e-5)
    scaled, plain = (stepper.finish_epoch() for stepper in steppers)
    assert scaled["gradient_evaluations"] == plain["gradient_evaluations"] > 3
    assert scaled["skipped_steps"] == 0


def test_closure_step_that_overflows_first_is_skipped_and_later_is_repeated(problem):
    model, images, labels = problem
    stepper = Stepper(torch.optim.LBFGS(model.parameters()), model, model, scale_gradients=True)
    before = model.weight.detach().clone()
    stepper.step(1e35 * images, labels, factor=1.0)  # its scaled gradient overflows
    assert torch.equal(before, model.weight)
    assert stepper.finish_epoch()["skipped_steps"] == 1

    class Widening(torch.optim.SGD):
        """Takes its second gradient where the first scale overflows, but half of it does not."""

        def step(self, closure):
            loss = closure()
            images.mul_(self.widening)
            with torch.enable_grad():
                closure()
            images.div_(self.widening)
            super().step()
            return loss

    optimizer = Widening(model.parameters(), lr=0.1)
    stepper = Stepper(optimizer, model, model, scale_gradients=True)
    optimizer.widening = 4e34
    stepper.step(images, labels, factor=1.0)
    assert model.weight.isfinite().all()
    assert stepper._scaler.get_scale() < 2.0**16  # the initial scale
    assert stepper.gradient_evaluations > 2


class _SecondOrder(torch.optim.SGD):
    """Replaces each gradient by its product with the Hessian."""

    is_second_order = True

    def step(self, closure):
        loss = closure()
        params = [p for group in self.param_groups for p in group["params"]]
        gradients = [p.grad for p in params]
        products = torch.autograd.grad(gradients, params, [g.detach() for g in gradients])
        for p, product in zip(params, products, strict=True):
            p.grad = product
        super().step()
        return loss


def test_optimizer_of_second_order_can_differentiate_the_gradients(problem):
    model, images, labels = problem
    params = tuple(p.detach().clone() for p in model.parameters())

    def loss(weight, bias):
        return F.cross_entropy(F.linear(images, weight, bias), labels)

    gradient = torch.autograd.functional.jacobian(loss, params)
    _, product = torch.autograd.functional.vhp(loss, params, gradient)
    stepper = Stepper(_SecondOrder(model.parameters(), lr=0.1), model, model)
    stepper.step(images, labels, factor=1.0)
    torch.testing.assert_close(model.weight.detach(), params[0] - 0.1 * product[0])
    with pytest.raises(ValueError, match=r"training\.precision must be fp32 or bf16"):
        Stepper(_SecondOrder(model.parameters(), lr=0.1), model, model, scale_gradients=True)
