from __future__ import annotations

import pytest
import torch
from torch import nn

from sasam import SAM, SASAM, SASGD

OPTIMIZERS = [SAM, SASGD, SASAM]
ADAPTIVE = [SASGD, SASAM]


def weight():
    return nn.Parameter(torch.ones(2))


@pytest.mark.parametrize("cls", OPTIMIZERS)
@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf"), "0.1", True, None])
def test_lr_out_of_range_is_refused(cls, lr):
    with pytest.raises(ValueError, match=r"lr must be a number > 0 .*got"):
        cls([weight()], lr=lr)


@pytest.mark.parametrize("cls", ADAPTIVE)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"damping": 0.0}, "damping must be a number > 0 and that is finite, got 0.0"),
        ({"damping": -1}, "damping must be a number > 0 and that is finite, got -1"),
        ({"delta": -0.02}, "delta must be a number >= 0 and that is finite, got -0.02"),
        ({"theta_init": -1.0}, "theta_init must be a number >= 0 and that may be inf, got -1.0"),
        ({"max_lr": 0.01}, "max_lr must be a number >= 0.1 and that is finite, got 0.01"),
        ({"weight_decay": -1.0}, "weight_decay must be a number >= 0 and that is finite, got -1.0"),
        ({"preset": "upstream"}, r"preset must be one of \['paper', 'reference'\], got 'upstream'"),
    ],
)
def test_option_out_of_range_is_refused(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls([weight()], lr=0.1, **options)


@pytest.mark.parametrize("cls", [SAM, SASAM])
@pytest.mark.parametrize("rho", [-0.1, "sqrt", float("inf")])
def test_rho_out_of_range_is_refused(cls, rho):
    with pytest.raises(ValueError, match=r"rho must be 'sqrt-lr' or a number >= 0 .*got"):
        cls([weight()], lr=0.1, rho=rho)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum must be a number >= 0 and < 1, got"):
        SAM([weight()], lr=0.1, momentum=momentum)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_parameters_empty_duplicate_complex_or_not_dense_are_refused(cls):
    w = weight()
    with pytest.raises(ValueError, match="empty parameter list"):
        cls([], lr=0.1)
    with pytest.raises(ValueError, match="at least one parameter, got none"):
        cls([{"params": []}], lr=0.1)
    with pytest.raises(ValueError, match="each parameter once, got 2 entries for 1"):
        cls([w, w], lr=0.1)
    with pytest.raises(ValueError, match="more than one parameter group"):
        cls([{"params": [w]}, {"params": [w]}], lr=0.1)
    with pytest.raises(ValueError, match=r"real floating-point tensors, got dtype torch.complex64"):
        cls([nn.Parameter(torch.ones(2, dtype=torch.complex64))], lr=0.1)
    with pytest.raises(ValueError, match="dense in memory, got strides"):
        cls([nn.Parameter(torch.ones(4, 4)[:, ::2])], lr=0.1)
    with pytest.raises(ValueError, match=r"model must be a torch.nn.Module or None, got str"):
        cls([w], lr=0.1, model="vgg19")


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_group_with_a_rule_of_its_own_is_refused(cls):
    groups = [{"params": [weight()]}, {"params": [weight()], "damping": 1.0}]
    with pytest.raises(ValueError, match="damping must be the same in all parameter groups, got"):
        cls(groups, lr=0.1)


def faults():
    w = weight()

    def missing():
        w.grad = None
        return (w * w).sum()

    def number():
        w.grad = None
        loss = (w * w).sum()
        loss.backward()
        return loss.item()

    def vector():
        w.grad = None
        loss = w * w
        loss.sum().backward()
        return loss

    return w, {
        "no closure": (None, ValueError, "step.. needs a closure.*got None"),
        "no callable": (w, ValueError, "step.. needs a closure"),
        "no gradient": (missing, RuntimeError, "left every gradient None"),
        "no tensor": (number, RuntimeError, "must return the loss as a tensor, got float: 2.0"),
        "no scalar": (vector, RuntimeError, r"scalar loss, got a tensor of shape \(2,\)"),
    }


@pytest.mark.parametrize("cls", OPTIMIZERS)
@pytest.mark.parametrize("fault", faults()[1])
def test_faulty_closure_is_refused_and_weights_stay(cls, fault):
    w, cases = faults()
    closure, error, message = cases[fault]
    optimizer = cls([w], lr=0.1)
    with pytest.raises(error, match=message):
        optimizer.step(closure)
    assert w.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_sparse_gradient_is_refused_and_weights_stay(cls):
    embedding = nn.Embedding(4, 2, sparse=True)
    before = embedding.weight.detach().clone()
    optimizer = cls(embedding.parameters(), lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = embedding(torch.tensor([1, 2])).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match=r"gradients must be dense, got layout torch.sparse_coo"):
        optimizer.step(closure)
    assert torch.equal(embedding.weight, before)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_state_of_another_optimizer_is_refused_and_state_stays(cls):
    optimizer = cls([weight()], lr=0.1)
    before = optimizer.state_dict()
    foreign = torch.optim.SGD([weight()], lr=0.5).state_dict()
    with pytest.raises(ValueError, match=f"state_dict is not of {cls.__name__}: its parameter gr"):
        optimizer.load_state_dict(foreign)
    assert optimizer.state_dict() == before
