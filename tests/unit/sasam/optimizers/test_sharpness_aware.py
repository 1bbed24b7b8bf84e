"""SAM's line around base optimizers."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sasam.optimizers import (
    ASAM,
    GSAM,
    SAM,
    SAMON,
    FriendlySAM,
    LookSAM,
    PlainSAM,
    SharpnessAware,
)

METHODS = {
    "sam": {"rho": 0.1},
    "asam": {"rho": 0.5, "eta": 0.01},
    "gsam": {"rho": 0.1, "alpha": 0.4},
    "friendly_sam": {"rho": 0.1, "sigma": 0.8, "decay": 0.6},
    "looksam": {"rho": 0.1, "k": 3, "alpha": 0.7},
    "sam_on": {"rho": 0.2},
}
CLASSES = {
    "sam": PlainSAM,
    "asam": ASAM,
    "gsam": GSAM,
    "friendly_sam": FriendlySAM,
    "looksam": LookSAM,
    "sam_on": SAMON,
}
BASES = {
    "momentum": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01, fused=True),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
}


def build(name, problem, base="adamw"):
    options = METHODS[name] | ({"model": problem.model} if name == "sam_on" else {})
    optimizer = BASES[base](problem.model.parameters())
    return SharpnessAware(optimizer, CLASSES[name](**options), model=problem.model)


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", METHODS)
def test_step_for_100_steps_equals_the_papers_formula(name, base, problem, methods):
    options = dict(METHODS[name])
    if name == "sam_on":  # the two vectors of the BatchNorm layer
        options["is_norm"] = np.repeat([False, True, False], [6 * 8 + 8, 16, 27])
    method = getattr(methods, name)(problem.gradient(), problem.weights(), **options)
    flat = nn.Parameter(torch.from_numpy(problem.weights().copy()))
    twin = BASES[base]([flat])
    optimizer = build(name, problem, base)
    direction = next(method)
    for t in range(100):
        optimizer.step(problem.closure(t))
        flat.grad = torch.from_numpy(direction)
        twin.step()
        # Rounding grows with the trajectory's own instability.
        np.testing.assert_allclose(problem.weights(), flat.detach().numpy(), rtol=1e-6, atol=1e-7)
        direction = method.send(flat.detach().numpy().copy())
    assert optimizer.skipped_steps == 0


def test_plain_sam_around_sgd_is_sam(problem):
    other = copy.deepcopy(problem)
    first = SAM(problem.model.parameters(), lr=0.05, rho="sqrt-lr", model=problem.model)
    base = torch.optim.SGD(other.model.parameters(), lr=0.05, fused=True)
    second = SharpnessAware(base, PlainSAM("sqrt-lr"), model=other.model)
    for t in range(20):
        assert first.step(problem.closure(t)) == second.step(other.closure(t))
    np.testing.assert_allclose(problem.weights(), other.weights(), rtol=1e-12)
    assert second.perturbation_radius == first.perturbation_radius
    torch.testing.assert_close(problem.model[1].running_mean, other.model[1].running_mean)


def test_gsam_radius_follows_the_schedule(problem):
    optimizer = build("gsam", problem)
    assert optimizer.perturbation_radius == pytest.approx(0.1)
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    assert optimizer.perturbation_radius == pytest.approx(0.05)
    assert optimizer.base.param_groups[0]["lr"] == 0.005  # the groups are the base's


@pytest.mark.parametrize(("name", "expected"), [("sam", 20), ("looksam", 14)])
def test_gradient_evaluations_are_counted(name, expected, problem):
    optimizer = build(name, problem)
    for t in range(10):
        optimizer.step(problem.closure(t))
    assert optimizer.gradient_evaluations == expected


@pytest.mark.parametrize("name", METHODS)
def test_resumed_optimizer_continues_bit_for_bit(name, problem):
    optimizer = build(name, problem)
    for t in range(4):
        optimizer.step(problem.closure(t))
    other = copy.deepcopy(problem)
    resumed = build(name, other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for t in range(4, 9):
        optimizer.step(problem.closure(t))
        resumed.step(other.closure(t))
    np.testing.assert_array_equal(problem.weights(), other.weights())
    assert resumed.gradient_evaluations == optimizer.gradient_evaluations


@pytest.mark.parametrize("name", METHODS)
def test_step_with_a_gradient_that_is_not_finite_changes_nothing(name, problem):
    optimizer = build(name, problem)
    optimizer.step(problem.closure(0))
    before = copy.deepcopy((problem.model.state_dict(), optimizer.state))
    problem.inputs[1, 0, 0] = torch.nan
    optimizer.step(problem.closure(1))
    assert optimizer.skipped_steps == 1
    for old, new in zip(before[0].values(), problem.model.state_dict().values(), strict=True):
        assert torch.equal(old, new)
    for old, new in zip(before[1].values(), optimizer.state.values(), strict=True):
        assert all(torch.equal(old[key], new[key]) for key in old)
    problem.inputs[1, 0, 0] = 0.0
    optimizer.step(problem.closure(1))
    assert np.isfinite(problem.weights()).all()


@pytest.mark.parametrize(
    ("build_method", "message"),
    [
        (lambda: PlainSAM(rho=-0.1), "rho must be 'sqrt-lr' or a number >= 0"),
        (lambda: ASAM(eta=-1.0), "eta must be a number >= 0"),
        (lambda: GSAM(alpha=float("nan")), "alpha must be"),
        (lambda: FriendlySAM(decay=1.0), "decay must be a number >= 0 and < 1"),
        (lambda: LookSAM(k=0), "k must be a number >= 1"),
        (lambda: SAMON(model=nn.Linear(2, 2)), "the network has none"),
    ],
)
def test_method_with_a_bad_constant_is_refused(build_method, message):
    with pytest.raises(ValueError, match=message):
        build_method()


def test_state_of_another_optimizer_is_refused(problem):
    optimizer = build("sam", problem)
    with pytest.raises(ValueError, match="not of SharpnessAware"):
        optimizer.load_state_dict(optimizer.base.state_dict())
