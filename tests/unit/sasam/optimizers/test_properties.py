from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sasam import SAM, SASAM, SASGD

# Examples are small; what takes time is the first call of each operator.
pytestmark = pytest.mark.filterwarnings("default::hypothesis.errors.HypothesisWarning")
quick = settings(max_examples=25, deadline=None)

curvatures = st.lists(st.floats(0.1, 10.0), min_size=2, max_size=5)
seeds = st.integers(0, 2**16)


def run(cls, curvature, start, steps=8, loss_scale=1.0, split=(), **options):
    """Weights and step sizes on loss_scale * sum(curvature * (w^2 / 2 + w^4 / 4))."""
    sizes = [*split, len(start) - sum(split)]
    params = [nn.Parameter(part.clone()) for part in start.split(sizes)]
    optimizer = cls(params, **options)

    def closure():
        optimizer.zero_grad()
        w = torch.cat(params)
        loss = loss_scale * (curvature * (w.square() / 2 + w.pow(4) / 4)).sum()
        loss.backward()
        return loss

    step_sizes = []
    for _ in range(steps):
        optimizer.step(closure)
        step_sizes.append(optimizer.step_size)
    return torch.cat(params).detach().numpy(), np.array(step_sizes)


def problem(values, seed):
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(len(values), generator=generator, dtype=torch.float64) + 0.1
    return torch.tensor(values, dtype=torch.float64), start


@pytest.mark.slow
@quick
@given(curvatures, seeds, st.sampled_from([SAM, SASGD, SASAM]))
def test_permuted_coordinates_give_permuted_steps(values, seed, cls):
    curvature, start = problem(values, seed)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    w, _ = run(cls, curvature, start, lr=1e-3)
    permuted, _ = run(cls, curvature[order], start[order], lr=1e-3)
    np.testing.assert_allclose(permuted, w[order.numpy()], rtol=1e-9)


@pytest.mark.slow
@quick
@given(curvatures, seeds, st.sampled_from([SAM, SASGD, SASAM]))
def test_splitting_the_vector_into_tensors_changes_nothing(values, seed, cls):
    curvature, start = problem(values, seed)
    w, _ = run(cls, curvature, start, lr=1e-3)
    pieces, _ = run(cls, curvature, start, split=(1,), lr=1e-3)
    np.testing.assert_allclose(pieces, w, rtol=1e-9)


@pytest.mark.slow
@quick
@given(curvatures, seeds, st.floats(1e-3, 1e3), st.sampled_from([SASGD, SASAM]))
def test_scaled_loss_divides_the_step_size_and_keeps_the_path(values, seed, scale, cls):
    # With a fixed radius and lr scaled along, the whole path is the same.
    options = {"rho": 0.01} if cls is SASAM else {}
    curvature, start = problem(values, seed)
    w, etas = run(cls, curvature, start, lr=1e-3, **options)
    scaled, scaled_etas = run(cls, curvature, start, loss_scale=scale, lr=1e-3 / scale, **options)
    np.testing.assert_allclose(scaled_etas * scale, etas, rtol=3e-7)
    np.testing.assert_allclose(scaled, w, rtol=3e-7)


@quick
@given(curvatures, seeds, st.floats(0.0, 1.0), st.floats(1.0, 3.0))
def test_growth_never_exceeds_its_bound(values, seed, delta, damping):
    curvature, start = problem(values, seed)
    _, etas = run(SASGD, curvature, start, lr=1e-3, delta=delta, damping=damping, theta_init=1.0)
    theta = np.concatenate([[1.0, 1.0], etas[1:-1] / etas[:-2]])[: len(etas)]
    assert (etas[1:] <= np.sqrt(1 + delta * theta[1:]) * etas[:-1] * (1 + 1e-12)).all()
