import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sasam import SAM, SASAM, SASGD
from sasam.curvature import (
    HessianOperator,
    UnknownStabilityError,
    estimate_stability_ratio,
    stability_condition,
)
from sasam.optimizers import ASAM, SharpnessAware

# Limit of each method as the cited papers have it.
SGD_OPTIONS = [
    ({}, 2.0),
    ({"momentum": 0.9}, 3.8),
    ({"momentum": 0.6, "dampening": 0.5}, 3.2),
    ({"momentum": 0.9, "nesterov": True}, 3.8 / 2.8),
]


def network() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return model, (torch.randn(12, 3).double(), torch.randint(2, (12,)))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple, steps: int) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def dense(operator: HessianOperator) -> torch.Tensor:
    return operator.matmat(torch.eye(operator.size, dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize(("options", "limit"), SGD_OPTIONS)
@pytest.mark.parametrize(("ratio", "is_stable"), [(0.98, True), (1.02, False)])
def test_limit_of_sgd_is_where_a_quadratic_loss_starts_to_diverge(
    options: dict, limit: float, ratio: float, is_stable: bool
) -> None:
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    curvature = 5.0
    optimizer = torch.optim.SGD([weight], lr=1.0, **options)
    condition = stability_condition(optimizer, [weight])
    assert condition.limit == pytest.approx(limit)
    optimizer.param_groups[0]["lr"] = ratio * limit / curvature / float(condition.step_sizes)
    for _ in range(2_000):
        optimizer.zero_grad()
        (curvature / 2 * weight.square().sum()).backward()
        optimizer.step()
    assert bool(weight.abs() < 1e-3) is is_stable
    assert bool(weight.abs() > 1e3) is not is_stable


@pytest.mark.parametrize(("ratio", "is_stable"), [(0.98, True), (1.02, False)])
def test_limit_of_adam_is_where_frozen_adam_diverges(ratio: float, is_stable: bool) -> None:
    """Adam whose second moment is frozen, as the source defines its limit."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr=0.1, betas=(0.9, 0.999))
    weight.sum().backward()
    for _ in range(300):  # beta_1^t is negligible, the bias of v is not
        optimizer.step()
    condition = stability_condition(optimizer, [weight])
    assert condition.limit == pytest.approx(38)
    curvature = ratio * condition.limit / float(condition.step_sizes)
    state = optimizer.state[weight]
    root = (state["exp_avg_sq"] / (1 - 0.999 ** float(state["step"]))).sqrt() + 1e-8
    x, momentum = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for _ in range(3_000):
        momentum = 0.9 * momentum + 0.1 * curvature * x
        x = x - 0.1 * momentum / root
    assert bool(x.abs() < 1e-3) is is_stable
    assert bool(x.abs() < 1e3) is is_stable


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_ratio_of_adam_agrees_with_the_dense_preconditioned_hessian(kind: type) -> None:
    model, batch = network()
    optimizer = kind(
        model.parameters(), lr=0.01, betas=(0.8, 0.95), amsgrad=kind is torch.optim.Adam
    )
    train(model, optimizer, batch, 7)
    operator = HessianOperator(model, F.cross_entropy, [batch])
    found = estimate_stability_ratio(operator, optimizer, model, tolerance=1e-10)
    name = "max_exp_avg_sq" if kind is torch.optim.Adam else "exp_avg_sq"
    v = torch.cat([optimizer.state[p][name].flatten() for p in model.parameters()])
    p = (1 - 0.8**7) * ((v / (1 - 0.95**7)).sqrt() + 1e-8)
    eigenvalues = torch.linalg.eigvals(dense(operator) / p[:, None]).real
    expected = 0.01 * float(eigenvalues.max())
    assert found.scaled_lambda_max == pytest.approx(expected, rel=1e-8)
    assert found.value == pytest.approx(expected * 0.2 / 3.6, rel=1e-8)


def test_ratio_counts_the_learning_rate_of_each_group() -> None:
    model, batch = network()
    groups = [
        {"params": model[0].parameters(), "lr": 0.5},
        {"params": model[2].parameters(), "lr": 0.1},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    operator = HessianOperator(model, F.cross_entropy, [batch])
    found = estimate_stability_ratio(operator, optimizer, model, tolerance=1e-10)
    rates = torch.tensor([0.5] * 16 + [0.1] * 10, dtype=torch.float64)
    eigenvalues = torch.linalg.eigvals(rates[:, None] * dense(operator)).real
    assert found.value == pytest.approx(float(eigenvalues.max()) / 3.8, rel=1e-8)


@pytest.mark.parametrize("kind", [SASGD, SASAM])
def test_step_size_of_an_adaptive_method_is_the_present_one(kind: type) -> None:
    model, batch = network()
    optimizer = kind(model.parameters(), lr=0.01, model=model)
    train(model, optimizer, batch, 3)
    assert optimizer.step_size != 0.01
    condition = stability_condition(optimizer, [*model.parameters()])
    assert condition.limit == 2
    assert torch.allclose(
        condition.step_sizes, torch.full((26,), optimizer.step_size, dtype=torch.float64)
    )


def test_method_of_sams_line_has_the_limit_of_its_descent_step() -> None:
    model, _ = network()
    parameters = [*model.parameters()]
    sam = SAM(parameters, lr=0.1, momentum=0.9)
    around = SharpnessAware(torch.optim.SGD(parameters, lr=0.1, momentum=0.9), ASAM())
    for optimizer in (sam, around):
        condition = stability_condition(optimizer, parameters)
        assert condition.limit == pytest.approx(3.8)
        assert torch.allclose(condition.step_sizes, torch.full((26,), 0.1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda p: torch.optim.RMSprop(p), "the stability limit of RMSprop is unknown"),
        (lambda p: torch.optim.Adam(p), "Adam has not made a step yet"),
        (lambda p: torch.optim.SGD(p, lr=1, maximize=True), "maximizes the loss"),
        (lambda p: torch.optim.SGD(p[:1], lr=1), "does not train all weights"),
        (
            lambda p: torch.optim.SGD(
                [{"params": p[:1]}, {"params": p[1:], "momentum": 0.9}], lr=1
            ),
            "different momentum",
        ),
    ],
)
def test_unknown_limit_has_a_reason(build, reason: str) -> None:
    model, _ = network()
    parameters = [*model.parameters()]
    with pytest.raises(UnknownStabilityError, match=reason):
        stability_condition(build(parameters), parameters)


def test_estimate_changes_neither_model_nor_optimizer() -> None:
    model, batch = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, batch, 2)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    operator = HessianOperator(model, F.cross_entropy, [batch])
    estimate_stability_ratio(operator, optimizer, model)
    torch.testing.assert_close((model.state_dict(), optimizer.state_dict()), before, rtol=0, atol=0)
