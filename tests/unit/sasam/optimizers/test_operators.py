from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sasam import SAM, SASAM, SASGD

OPTIMIZERS = [SAM, SASGD, SASAM]


class Operators(TorchDispatchMode):
    """Counts dispatched operators, except while `paused`."""

    def __init__(self):
        super().__init__()
        self.names = []
        self.paused = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not self.paused:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def operators_of_a_step(cls, tensors, **options):
    layers = [m for _ in range(tensors // 4) for m in (nn.Linear(4, 4), nn.BatchNorm1d(4))]
    model = nn.Sequential(*layers)
    optimizer = cls(model.parameters(), lr=0.01, model=model, **options)
    x = torch.randn(8, 4)
    operators = Operators()

    def closure():
        operators.paused = True
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        operators.paused = False
        return loss

    for _ in range(2):
        optimizer.step(closure)
    with operators:
        optimizer.step(closure)
    return operators.names


@pytest.mark.parametrize(
    ("cls", "options", "most"),
    [(SAM, {}, 45), (SAM, {"momentum": 0.9}, 45), (SASGD, {}, 55), (SASAM, {}, 70)],
)
def test_operators_of_a_step_do_not_grow_with_the_number_of_tensors(cls, options, most):
    few, many = (operators_of_a_step(cls, tensors, **options) for tensors in (8, 80))
    assert few == many
    assert len(many) <= most


@pytest.mark.gpu
@pytest.mark.parametrize(("cls", "most"), [(SAM, 0), (SASGD, 1), (SASAM, 1)])
def test_step_on_cuda_synchronises_at_most_once(cls, most):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)).cuda()
    optimizer = cls(model.parameters(), lr=0.01, model=model)
    x = torch.randn(16, 8, device="cuda")

    def closure():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            optimizer.step(closure)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([w for w in caught if "synchron" in str(w.message)]) == most
