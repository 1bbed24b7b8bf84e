from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sasam import SAM, SASAM, SASGD

ADAPTIVE = [SASGD, SASAM]


def quadratic(curvature, start):
    """Weights and a closure for sum(curvature * w^2) / 2, whose smoothness is max(curvature)."""
    curvature = torch.as_tensor(curvature, dtype=torch.float64)
    w = nn.Parameter(torch.as_tensor(start, dtype=torch.float64))

    def closure():
        w.grad = None
        loss = (curvature * w * w).sum() / 2
        loss.backward()
        return loss

    return w, closure


def linear(slope):
    """Weights and a closure for a linear loss, whose gradient never changes."""
    w = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def closure():
        w.grad = None
        loss = slope * w.sum()
        loss.backward()
        return loss

    return w, closure


@pytest.mark.parametrize("cls", ADAPTIVE)
@pytest.mark.parametrize("damping", [1.0, 2.0])
def test_eta_on_convex_problem_is_at_least_inverse_damped_smoothness(cls, damping):
    w, closure = quadratic([0.5, 3.0, 10.0], [1.0, -2.0, 0.5])
    optimizer = cls([w], lr=1e-3, damping=damping)
    optimizer.step(closure)
    assert optimizer.step_size == 1e-3
    for _ in range(50):
        optimizer.step(closure)
        assert optimizer.step_size >= 1 / (damping * 10.0) * (1 - 1e-12)
        assert optimizer.smoothness <= 10.0 * (1 + 1e-12)


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_eta_times_batch_smoothness_is_at_most_inverse_damping(cls, problem):
    optimizer = cls(problem.model.parameters(), lr=0.01)
    for t in range(50):
        optimizer.step(problem.closure(t))
        if t:
            assert optimizer.step_size * optimizer.smoothness <= 0.5 * (1 + 1e-9)


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_eta_with_theta_init_inf_forgets_eta_0_at_once(cls):
    w, closure = quadratic([2.0], [1.0])
    optimizer = cls([w], lr=1e-6)
    optimizer.step(closure)
    optimizer.step(closure)
    assert optimizer.step_size == pytest.approx(1 / (2 * 2.0))


@pytest.mark.slow
def test_eta_with_theta_init_1_takes_691_steps_from_1e_4_to_1e_1():
    w, closure = quadratic([1e-6], [1.0])
    optimizer = SASGD([w], lr=1e-4, theta_init=1.0)
    steps = 0
    while optimizer.step_size < 0.1:
        optimizer.step(closure)
        steps += 1
    # The first step takes eta_0 itself; 691 follow it.
    assert steps == 1 + 691


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_eta_without_gradient_difference_grows_only(cls):
    w, closure = linear(1.0)
    optimizer = cls([w], lr=0.1, theta_init=1.0)
    optimizer.step(closure)
    optimizer.step(closure)
    assert optimizer.step_size == pytest.approx(0.1 * math.sqrt(1.02))
    assert optimizer.smoothness == 0.0


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_eta_without_gradient_difference_or_bound_stays(cls):
    w, closure = linear(1.0)
    optimizer = cls([w], lr=0.1)
    for _ in range(2):
        optimizer.step(closure)
        assert optimizer.step_size == 0.1
    optimizer.step(closure)  # theta_1 = 1 bounds the growth from here on
    assert optimizer.step_size == pytest.approx(0.1 * math.sqrt(1.02))


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_step_that_did_not_move_keeps_eta_and_sets_theta_1(cls):
    w, closure = quadratic([2.0], [1.0])
    optimizer = cls([w], lr=0.01)
    for _ in range(3):
        optimizer.step(closure)
    eta = optimizer.step_size
    with torch.no_grad():
        w.copy_(optimizer.state[w]["previous_weights"])
    optimizer.step(closure)
    assert optimizer.step_size == eta
    assert optimizer.param_groups[0]["theta"] == 1.0


@pytest.mark.parametrize("cls", [SAM, SASGD, SASAM])
def test_step_with_zero_gradient_stays_finite(cls):
    w, closure = quadratic([2.0, 1.0], [0.0, 0.0])
    optimizer = cls([w], lr=0.1)
    for _ in range(3):
        optimizer.step(closure)
    assert w.tolist() == [0.0, 0.0]
    assert optimizer.skipped_steps == 0


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_eta_never_exceeds_max_lr(cls):
    w, closure = quadratic([0.1], [1.0])
    optimizer = cls([w], lr=0.1, max_lr=0.5)
    for _ in range(5):
        optimizer.step(closure)
    assert optimizer.step_size == 0.5


def test_reference_preset_grows_first_step_and_lags_radius():
    w, closure = linear(1.0)
    optimizer = SASAM([w], lr=0.1, preset="reference")
    optimizer.step(closure)
    assert optimizer.step_size == pytest.approx(0.1 * math.sqrt(1.02))
    assert optimizer.perturbation_radius == pytest.approx(math.sqrt(0.1))
    assert optimizer.gradient_evaluations == 2


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_changed_lr_scales_the_steps(cls):
    w, closure = quadratic([2.0], [1.0])
    optimizer = cls([w], lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    for _ in range(2):
        optimizer.step(closure)
        scheduler.step()
    before = w.item()
    optimizer.step(closure)
    assert optimizer.step_size == pytest.approx(0.1 * 0.25)
    factor = (before - w.item()) / 2.0 / 0.025
    expected = before if cls is SASGD else before + math.sqrt(0.025)
    assert factor == pytest.approx(expected)


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_lr_of_zero_from_a_schedule_moves_nothing(cls):
    w, closure = quadratic([2.0], [1.0])
    optimizer = cls([w], lr=0.01)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step(closure)
    assert w.item() == 1.0
    optimizer.param_groups[0]["lr"] = 0.01
    optimizer.step(closure)
    assert w.item() < 1.0
    assert optimizer.step_size == 0.01


def test_fixed_rho_is_the_distance_of_the_perturbation():
    w, closure = quadratic([2.0], [1.0])
    for cls in (SAM, SASAM):
        with torch.no_grad():
            w.fill_(1.0)
        optimizer = cls([w], lr=0.1, rho=0.05)
        optimizer.step(closure)
        assert w.item() == pytest.approx(1.0 - 0.1 * 2.0 * 1.05)
        assert optimizer.perturbation_radius == 0.05
