from __future__ import annotations

import copy
import io

import pytest
import torch

from sasam import SAM, SASAM, SASGD

CASES = [
    (SAM, {}),
    (SAM, {"momentum": 0.9}),
    (SASGD, {}),
    (SASAM, {}),
    (SASAM, {"preset": "reference"}),
]


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def take(optimizer, problem, kind, t):
    """One step, ordinary or skipped for a gradient that is not finite."""

    def closure():
        loss = problem.closure(t)()
        if kind == "skipped":
            problem.model[0].bias.grad[0] = float("nan")
        return loss

    return optimizer.step(closure)


@pytest.mark.parametrize(("cls", "options"), CASES)
@pytest.mark.parametrize(
    "history", [[], ["step"], ["skipped"], ["step"] * 4, ["step", "step", "skipped"]]
)
def test_state_dict_after_any_step_resumes_bit_for_bit(cls, options, history, problem):
    optimizer = cls(problem.groups(), lr=0.05, model=problem.model, **options)
    for t, kind in enumerate(history):
        take(optimizer, problem, kind, t)
    fresh = copy.deepcopy(problem)
    for p in fresh.model.parameters():
        torch.nn.init.zeros_(p)
    fresh.model.load_state_dict(through_a_file(problem.model.state_dict()))
    resumed = cls(fresh.groups(), lr=0.9, model=fresh.model, **options)
    resumed.load_state_dict(through_a_file(optimizer.state_dict()))
    for t in range(5):
        a = take(optimizer, problem, "step", len(history) + t)
        b = take(resumed, fresh, "step", len(history) + t)
        assert torch.equal(a, b)
    for name in (
        "step_size",
        "perturbation_radius",
        "smoothness",
        "gradient_evaluations",
        "skipped_steps",
    ):
        assert getattr(resumed, name) == getattr(optimizer, name), name
    for p, q in zip(problem.model.parameters(), fresh.model.parameters(), strict=True):
        assert torch.equal(p, q)
    assert resumed.skipped_steps == history.count("skipped")


@pytest.mark.parametrize("cls", [SASGD, SASAM])
def test_loading_from_a_live_optimizer_shares_nothing(cls, problem):
    optimizer = cls(problem.groups(), lr=0.05)
    for t in range(3):
        optimizer.step(problem.closure(t))
    other = copy.deepcopy(problem)
    second = cls(other.groups(), lr=0.05)
    second.load_state_dict(optimizer.state_dict())
    for t in range(3):
        optimizer.step(problem.closure(t))
        second.step(other.closure(t))
    for a, b in zip(problem.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert second.gradient_evaluations == optimizer.gradient_evaluations


@pytest.mark.parametrize("cls", [SASGD, SASAM])
def test_permanent_state_is_one_copy_of_the_weights(cls, problem):
    optimizer = cls(problem.model.parameters(), lr=0.05)
    for t in range(3):
        optimizer.step(problem.closure(t))
    kept = [v for state in optimizer.state.values() for v in state.values()]
    assert sum(v.numel() for v in kept) == sum(p.numel() for p in problem.model.parameters())


def test_sam_without_momentum_keeps_no_state(problem):
    optimizer = SAM(problem.model.parameters(), lr=0.05)
    optimizer.step(problem.closure(0))
    assert not any(optimizer.state.values())
