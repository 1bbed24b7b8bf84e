import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sasam.curvature import HessianOperator, estimate_critical_sharpness


def network() -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """A linear regression, whose loss is quadratic, on batches of different sizes."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2).double()
    inputs, targets = torch.randn(30, 4).double(), torch.randn(30, 2).double()
    return model, [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]


def gradient_of(model: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list:
    inputs, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    return list(torch.autograd.grad(F.mse_loss(model(inputs), targets), [*model.parameters()]))


@pytest.mark.parametrize("guess", [1e-4, 0.1, 1.0, 1e3])
def test_value_is_the_curvature_along_the_gradient_of_a_quadratic_loss(guess: float) -> None:
    model, batches = network()
    gradient = gradient_of(model, batches)
    found = estimate_critical_sharpness(
        model, F.mse_loss, batches, [-g for g in gradient], guess=guess, tolerance=1e-10
    )
    flat = torch.cat([g.flatten() for g in gradient])
    hessian = HessianOperator(model, F.mse_loss, batches)
    expected = float(flat @ hessian.matvec(flat) / flat.square().sum())
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.step == pytest.approx(2 / expected, rel=1e-9)


def test_search_near_the_guess_takes_six_passes() -> None:
    model, batches = network()
    direction = [-g for g in gradient_of(model, batches)]
    exact = estimate_critical_sharpness(model, F.mse_loss, batches, direction, tolerance=1e-10)
    found = estimate_critical_sharpness(
        model, F.mse_loss, batches, direction, guess=0.9 * exact.step
    )
    assert found.forward_passes <= 6
    assert found.step == pytest.approx(exact.step, rel=0.125)


def test_direction_that_is_no_descent_has_no_value() -> None:
    model, batches = network()
    found = estimate_critical_sharpness(model, F.mse_loss, batches, gradient_of(model, batches))
    assert math.isnan(found.value)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_direction_that_falls_by_rounding_alone_has_no_value(scale: float) -> None:
    """Tiny steps of an ascent direction leave a float32 loss as it is, or lower it by rounding."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    batch = torch.randn(64, 4), torch.randint(3, (64,))
    loss = F.cross_entropy(model(batch[0]), batch[1])
    ascent = [scale * g for g in torch.autograd.grad(loss, [*model.parameters()])]
    found = estimate_critical_sharpness(model, F.cross_entropy, [batch], ascent)
    assert math.isnan(found.value)


def test_loss_that_does_not_rise_has_no_value() -> None:
    model, batches = network()
    zeros = [torch.zeros_like(p) for p in model.parameters()]
    assert math.isnan(estimate_critical_sharpness(model, F.mse_loss, batches, zeros).value)


def test_weights_that_are_not_finite_have_no_value() -> None:
    model, batches = network()
    direction = [-g for g in gradient_of(model, batches)]
    with torch.no_grad():
        model.bias.fill_(math.nan)
    assert math.isnan(estimate_critical_sharpness(model, F.mse_loss, batches, direction).value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guess": 0.0}, "guess must be a finite number above 0, got 0"),
        ({"tolerance": 1.0}, r"tolerance must be above 0 and below 1, got 1\.0"),
        ({"direction": [torch.zeros(3)]}, "direction must have the shapes"),
        ({"batches": []}, "at least one batch"),
    ],
)
def test_bad_arguments_are_named(options: dict, message: str) -> None:
    model, batches = network()
    direction = [-g for g in gradient_of(model, batches)]
    arguments = {"batches": batches, "direction": direction, **options}
    with pytest.raises(ValueError, match=message):
        estimate_critical_sharpness(model, F.mse_loss, **arguments)
