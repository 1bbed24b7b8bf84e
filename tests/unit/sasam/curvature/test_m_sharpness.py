import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sasam.curvature import average_case_sharpness, worst_case_sharpness

BOTH = pytest.mark.parametrize("measure", [worst_case_sharpness, average_case_sharpness])


def network(width: int = 3) -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """A linear classifier, whose loss is convex in its weights."""
    torch.manual_seed(0)
    model = nn.Linear(width, 2).double()
    inputs, targets = torch.randn(16, width).double(), torch.randint(2, (16,))
    return model, [(inputs[:8], targets[:8]), (inputs[8:], targets[8:])]


def loss_at(model: nn.Module, batch: tuple, flat: torch.Tensor) -> float:
    weight = model.weight
    w, b = flat[: weight.numel()].view_as(weight), flat[weight.numel() :]
    return float(F.cross_entropy(batch[0] @ w.T + b, batch[1]))


@pytest.mark.parametrize("rho", [0.002, 0.1, 1.0])
def test_worst_case_of_a_convex_loss_is_that_of_the_worst_vertex(rho: float) -> None:
    model, batches = network()
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    rises = []
    for batch in batches:
        vertices = (
            flat + rho * flat.abs() * torch.tensor(signs)
            for signs in itertools.product([-1.0, 1.0], repeat=len(flat))
        )
        worst = max(loss_at(model, batch, vertex) for vertex in vertices)
        rises.append(worst - loss_at(model, batch, flat))
    found = worst_case_sharpness(model, F.cross_entropy, batches, rho=rho)
    assert found.value == pytest.approx(sum(rises) / 2, rel=1e-6)
    assert 40 <= found.gradient_evaluations <= 60


def test_average_case_agrees_with_a_loop_over_the_same_perturbations() -> None:
    model, batches = network()
    generator = torch.Generator().manual_seed(3)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    rises = []
    for batch in batches:
        for _ in range(20):
            noise = torch.cat(
                [
                    torch.randn(p.shape, generator=generator, dtype=p.dtype).flatten()
                    for p in model.parameters()
                ]
            )
            moved = flat + 0.1 * flat.abs() * noise
            rises.append(loss_at(model, batch, moved) - loss_at(model, batch, flat))
    found = average_case_sharpness(model, F.cross_entropy, batches, seed=3)
    assert found.value == pytest.approx(sum(rises) / len(rises), abs=1e-12)
    assert (found.gradient_evaluations, found.forward_passes) == (0, 42)


@pytest.mark.slow
def test_average_case_of_a_quadratic_loss_is_the_weighted_trace() -> None:
    model, batches = network()
    inputs = batches[0][0]
    targets = torch.zeros(8, 2, dtype=torch.float64)
    found = average_case_sharpness(model, F.mse_loss, [(inputs, targets)], rho=0.5, samples=20_000)
    # E d'Hd / 2 with H_ii = the mean square of the input over both outputs, 2 / 2.
    squares = torch.cat([inputs.square().mean(0), torch.ones(1, dtype=torch.float64)])
    weights = torch.cat([model.weight, model.bias[:, None]], dim=1).detach()
    expected = 0.25 * float((weights.square() * squares).sum()) / 2
    assert found.value == pytest.approx(expected, rel=0.03)


@BOTH
def test_rescaling_that_leaves_the_function_leaves_the_value(measure) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    batch = torch.randn(16, 3).double(), torch.randint(2, (16,))
    before = measure(model, F.cross_entropy, [batch], rho=0.05).value
    with torch.no_grad():
        model[0].weight.mul_(8), model[0].bias.mul_(8), model[2].weight.div_(8)
    assert measure(model, F.cross_entropy, [batch], rho=0.05).value == pytest.approx(
        before, rel=1e-9
    )


@BOTH
def test_model_its_buffers_and_the_random_state_stay(measure) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    batch = torch.randn(16, 3), torch.randint(2, (16,))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    first = measure(model, F.cross_entropy, [batch])
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert measure(model, F.cross_entropy, [batch]) == first
    if measure is average_case_sharpness:  # the other finds the same maximum from every start
        assert measure(model, F.cross_entropy, [batch], seed=1) != first


@BOTH
def test_weights_that_are_not_finite_have_no_value(measure) -> None:
    model, batches = network()
    with torch.no_grad():
        model.bias.fill_(math.inf)
    assert math.isnan(measure(model, F.cross_entropy, batches).value)


@BOTH
def test_bad_radius_is_refused(measure) -> None:
    model, batches = network()
    with pytest.raises(ValueError, match="rho must be a finite number above 0, got 0"):
        measure(model, F.cross_entropy, batches, rho=0)
