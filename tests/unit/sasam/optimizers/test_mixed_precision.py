from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional as F

from sasam import SAM, SASAM, SASGD

OPTIMIZERS = [SAM, SASGD, SASAM]


@pytest.fixture
def single(problem):
    return dataclasses.replace(problem, model=problem.model.float(), inputs=problem.inputs.float())


def closure_of(problem, model, t, dtype, scaler=None, device="cpu"):
    def closure():
        model.zero_grad()
        with torch.autocast(device, dtype):
            loss = F.cross_entropy(
                model(problem.inputs[t % 7].to(device)), problem.labels[t % 7].to(device)
            )
        (loss if scaler is None else scaler.scale(loss)).backward()
        return loss

    return closure


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_bfloat16_autocast_around_the_step_equals_autocast_in_the_closure(cls, single):
    models = [single.model, copy.deepcopy(single.model)]
    inner, outer = (cls(m.parameters(), lr=0.05, model=m) for m in models)
    for t in range(5):
        inner.step(closure_of(single, models[0], t, torch.bfloat16))
        with torch.autocast("cpu", torch.bfloat16):
            outer.step(closure_of(single, models[1], t, torch.bfloat16))
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cls", OPTIMIZERS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_float16_with_scaler_takes_the_steps_of_float16_without(cls, device, single):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    models = [copy.deepcopy(single.model).to(device) for _ in range(2)]
    plain, scaled = (cls(m.parameters(), lr=0.05, model=m) for m in models)
    scaler = GradScaler(device, init_scale=2.0**10)
    for t in range(4):
        plain.step(closure_of(single, models[0], t, torch.float16, device=device))
        closure = closure_of(single, models[1], t, torch.float16, scaler, device)
        scaled.step(closure, grad_scaler=scaler)
        scaler.update()
    assert scaled.skipped_steps == 0
    assert scaler.get_scale() == 2.0**10
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_float16_overflow_skips_step_and_lowers_scale(cls, single):
    before = [p.detach().clone() for p in single.model.parameters()]
    optimizer = cls(single.model.parameters(), lr=0.05)
    scaler = GradScaler("cpu", init_scale=2.0**40)
    closure = closure_of(single, single.model, 0, torch.float16, scaler)
    optimizer.step(closure, grad_scaler=scaler)
    scaler.update()
    assert optimizer.skipped_steps == 1
    assert scaler.get_scale() == 2.0**39
    for p, q in zip(single.model.parameters(), before, strict=True):
        assert torch.equal(p, q)
    for _ in range(40):
        optimizer.step(closure, grad_scaler=scaler)
        scaler.update()
    assert optimizer.skipped_steps < 40


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_disabled_scaler_changes_nothing(cls, problem):
    other = copy.deepcopy(problem)
    scaler = GradScaler("cpu", enabled=False)
    first, second = (cls(p.model.parameters(), lr=0.05) for p in (problem, other))
    for t in range(3):
        first.step(problem.closure(t))
        second.step(other.closure(t), grad_scaler=scaler)
        scaler.update()
    for a, b in zip(problem.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_weights_of_several_dtypes_are_stepped_with_norms_in_float32(cls):
    torch.manual_seed(0)
    narrow = nn.Parameter(torch.randn(4096).bfloat16())
    wide = nn.Parameter(torch.randn(8, dtype=torch.float64))
    optimizer = cls([narrow, wide], lr=0.05)

    def closure():
        optimizer.zero_grad()
        loss = narrow.float().square().sum() / 2 + wide.square().sum() / 2
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(10):
        loss = optimizer.step(closure)
    assert loss < first
    if cls is not SAM:
        assert optimizer.smoothness == pytest.approx(1.0, rel=2e-2)
