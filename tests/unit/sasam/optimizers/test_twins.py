from __future__ import annotations

import copy
import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch

from sasam import SAM, SASAM, SASGD

CASES = {
    "sa-sam": (SASAM, {}, "sa_sam", {}),
    "sa-sam without growth": (SASAM, {"delta": 0.0}, "sa_sam", {"delta": 0.0}),
    "sa-sgd": (SASGD, {}, "sa_sgd", {}),
    "sam": (SAM, {}, "sam", {}),
    "sam with momentum": (SAM, {"momentum": 0.9}, "sam", {"momentum": 0.9}),
    "sa-sam reference": (SASAM, {"preset": "reference"}, "published_sa_sam", {}),
    "sa-sgd reference": (SASGD, {"preset": "reference"}, "published_sa_sam", {"perturbed": False}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_step_for_100_steps_equals_textbook_twin(case, problem, twins):
    cls, options, name, twin_options = CASES[case]
    decay = np.concatenate([np.full(6 * 8 + 8 + 16, 0.05), np.zeros(27)])
    twin = getattr(twins, name)(problem.gradient(), problem.weights(), 0.05, decay, **twin_options)
    optimizer = cls(problem.groups(), lr=0.05, model=problem.model, **options)
    for t, (w, eta, rho) in enumerate(islice(twin, 100)):
        optimizer.step(problem.closure(t))
        # Rounding grows with the trajectory's own instability, from 1e-16 to 1e-9 in 100 steps.
        np.testing.assert_allclose(problem.weights(), w, rtol=1e-7, atol=1e-8)
        assert optimizer.step_size == pytest.approx(eta, rel=1e-7)
        assert optimizer.perturbation_radius == pytest.approx(rho, rel=1e-7)
    assert optimizer.skipped_steps == 0


@pytest.mark.parametrize(("cls", "total"), [(SAM, 20), (SASGD, 19), (SASAM, 29)])
def test_step_calls_closure_no_more_often_than_needed(cls, total, problem):
    optimizer = cls(problem.model.parameters(), lr=0.05)
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        return problem.closure(0)()

    for _ in range(10):
        optimizer.step(closure)
    assert calls == total
    assert optimizer.gradient_evaluations == total


def test_step_in_float32_stays_near_float64_twin(problem, twins):
    twin = twins.sa_sam(problem.gradient(), problem.weights(), 0.05, np.zeros(99))
    model, inputs = copy.deepcopy(problem.model).float(), problem.inputs.float()
    single = dataclasses.replace(problem, model=model, inputs=inputs)
    optimizer = SASAM(model.parameters(), lr=0.05, model=model)
    for t, (w, _, _) in enumerate(islice(twin, 5)):
        optimizer.step(single.closure(t))
        np.testing.assert_allclose(single.weights(), w, rtol=1e-3, atol=1e-4)


def test_step_returns_clean_loss_and_leaves_clean_statistics(problem):
    expected = problem.loss(problem.model, 0).item()
    mean = problem.model[1].running_mean.clone()
    problem.model[1].reset_running_stats()
    optimizer = SASAM(problem.model.parameters(), lr=0.05, model=problem.model)
    loss = optimizer.step(problem.closure(0))
    assert loss.item() == expected
    assert not loss.requires_grad
    torch.testing.assert_close(problem.model[1].running_mean, mean, rtol=0, atol=0)
