import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sasam.curvature import estimate_gradient_noise


def network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return model, torch.randn(24, 3).double() + 1, torch.randint(2, (24,))


def gradients(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, size: int):
    """The gradient of each batch, one per row."""
    rows = []
    for x, y in zip(inputs.split(size), targets.split(size), strict=True):
        found = torch.autograd.grad(F.cross_entropy(model(x), y), [*model.parameters()])
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


@pytest.mark.parametrize("size", [1, 4, 12])
def test_estimates_agree_with_the_dense_covariance(size: int) -> None:
    model, inputs, targets = network()
    batches = list(zip(inputs.split(size), targets.split(size), strict=True))
    found = estimate_gradient_noise(model, F.cross_entropy, batches)
    rows = gradients(model, inputs, targets, size)
    trace = size * float(torch.cov(rows.T).trace())
    norm = float(rows.mean(0).square().sum()) - trace / 24
    assert found.trace == pytest.approx(trace, rel=1e-12)
    assert found.squared_norm == pytest.approx(norm, rel=1e-9)
    if norm > 0:
        assert found.scale == pytest.approx(trace / norm, rel=1e-9)
    else:
        assert math.isnan(found.scale)
    assert found.gradient_evaluations == 24 // size


def test_two_batches_agree_with_the_estimator_of_the_source() -> None:
    """Appendix A.1: a small batch size (each half, on average) and a large one (both)."""
    model, inputs, targets = network()
    batches = list(zip(inputs.split(12), targets.split(12), strict=True))
    found = estimate_gradient_noise(model, F.cross_entropy, batches)
    small = float(gradients(model, inputs, targets, 12).square().sum(1).mean())
    large = float(gradients(model, inputs, targets, 24).square().sum())
    assert found.squared_norm == pytest.approx((24 * large - 12 * small) / 12, rel=1e-9)
    assert found.trace == pytest.approx((small - large) / (1 / 12 - 1 / 24), rel=1e-9)


def test_estimates_are_unbiased() -> None:
    """Over many draws with replacement, the means are those of all examples."""
    model, inputs, targets = network()
    rows = gradients(model, inputs, targets, 1)
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(24, (4_000, 8), generator=generator)
    means = rows[draws].view(4_000, 4, 2, -1).mean(2)
    trace = 2 / 3 * (means - means.mean(1, keepdim=True)).square().sum((1, 2))
    norm = means.mean(1).square().sum(1) - trace / 8
    first = [(inputs[d], targets[d]) for d in draws[0].split(2)]
    assert estimate_gradient_noise(model, F.cross_entropy, first).trace == pytest.approx(
        float(trace[0]), rel=1e-9
    )
    assert float(trace.mean()) == pytest.approx(float(rows.var(0, correction=0).sum()), rel=0.03)
    assert float(norm.mean()) == pytest.approx(float(rows.mean(0).square().sum()), rel=0.1)


def test_gradient_that_is_not_finite_gives_nan() -> None:
    model, inputs, targets = network()
    with torch.no_grad():
        model[2].bias.fill_(math.nan)
    batches = list(zip(inputs.split(6), targets.split(6), strict=True))
    found = estimate_gradient_noise(model, F.cross_entropy, batches)
    assert math.isnan(found.trace)
    assert math.isnan(found.scale)


@pytest.mark.parametrize(("sizes", "got"), [([24], "1 of 24"), ([10, 14], "2 of 10, 14 examples")])
def test_batches_must_be_several_of_one_size(sizes: list[int], got: str) -> None:
    model, inputs, targets = network()
    batches = list(zip(inputs.split(sizes), targets.split(sizes), strict=True))
    with pytest.raises(ValueError, match=got):
        estimate_gradient_noise(model, F.cross_entropy, batches)
