from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sasam.curvature import (
    GradientDifferenceOperator,
    HessianOperator,
    choose_hessian_method,
    estimate_extremal_eigenvalues,
    estimate_trace,
)


class _HardsigmoidOfClamps(nn.Module):
    """relu6(x + 3) / 6 of operators that have a second derivative."""

    def forward(self, x):
        return (x + 3).clamp(0, 6) / 6


class _HardswishOfClamps(nn.Module):
    def forward(self, x):
        return x * (x + 3).clamp(0, 6) / 6


def network(activation):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), activation, nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)
    ).double()


def relative_error(product, exact):
    return float((product.double() - exact.double()).norm() / exact.double().norm())


def test_products_on_smooth_networks_equal_the_exact_ones(batches):
    model = network(nn.Tanh())
    exact = HessianOperator(model, F.cross_entropy, batches)
    operator = GradientDifferenceOperator(model, F.cross_entropy, batches, chunk_size=4)
    for scale in (1e-6, 1.0, 1e6):
        vector = scale * torch.randn(exact.size, dtype=torch.float64)
        assert relative_error(operator @ vector, exact @ vector) < 1e-6
    block = torch.randn(exact.size, 3, dtype=torch.float64)
    assert relative_error(operator @ block, exact @ block) < 1e-6
    assert not operator.matvec(torch.zeros(exact.size, dtype=torch.float64)).any()
    assert operator.loss == pytest.approx(exact.loss)
    assert (operator.num_examples, operator.layers) == (23, exact.layers)


def test_products_on_networks_with_kinks_are_close(model, batches):
    exact = HessianOperator(model, F.cross_entropy, batches)
    operator = GradientDifferenceOperator(model, F.cross_entropy, batches)
    for _ in range(5):
        vector = torch.randn(exact.size, dtype=torch.float64)
        assert relative_error(operator @ vector, exact @ vector) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "reformulated"),
    [(nn.Hardsigmoid, _HardsigmoidOfClamps), (nn.Hardswish, _HardswishOfClamps)],
)
def test_hard_activations_have_the_hessian_of_their_reformulation(
    activation, reformulated, batches
):
    exact = HessianOperator(network(reformulated()), F.cross_entropy, batches)
    operator = GradientDifferenceOperator(network(activation()), F.cross_entropy, batches)
    vector = torch.randn(exact.size, dtype=torch.float64)
    assert relative_error(operator @ vector, exact @ vector) < 1e-3
    budget = {"max_matvecs": exact.size}
    trace = estimate_trace(operator, **budget).value
    assert trace == pytest.approx(estimate_trace(exact, **budget).value, rel=1e-3)
    ends = [estimate_extremal_eigenvalues(one, tolerance=1e-5) for one in (operator, exact)]
    assert ends[0].lambda_max == pytest.approx(ends[1].lambda_max, rel=1e-3)
    assert ends[0].lambda_min == pytest.approx(ends[1].lambda_min, rel=1e-3)


def test_products_of_float32_weights_are_as_exact_as_their_type(batches):
    model = network(nn.Tanh())
    single = copy.deepcopy(model).float()
    model.load_state_dict(single.state_dict())
    exact = HessianOperator(model, F.cross_entropy, batches)
    narrow = [(inputs.float(), targets) for inputs, targets in batches]
    operator = GradientDifferenceOperator(single, F.cross_entropy, narrow)
    vector = torch.randn(exact.size)
    product = operator @ vector
    assert product.dtype == torch.float32
    assert relative_error(product, exact @ vector.double()) < 1e-5


def test_caller_stays_untouched_and_later_training_changes_nothing(batches):
    model = network(nn.Hardsigmoid()).train()
    before = copy.deepcopy(model.state_dict())
    operator = GradientDifferenceOperator(model, F.cross_entropy, batches)
    vector = torch.randn(operator.size, dtype=torch.float64)
    product = operator @ vector
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        model[1].weight.zero_()
        assert torch.equal(operator @ vector, product)


def test_diverged_weights_give_nan(batches):
    model = network(nn.Hardsigmoid())
    with torch.no_grad():
        model[1].weight.fill_(torch.inf)
    operator = GradientDifferenceOperator(model, F.cross_entropy, batches)
    assert torch.tensor(estimate_trace(operator, max_matvecs=20).value).isnan()


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (1 - x.tanh() ** 2)


class _Custom(nn.Module):
    def forward(self, x):
        return _Once.apply(x)


class _Keeping(nn.Module):
    """Keeps what it computed from its weights, as the attention of LeViT does in eval mode."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))
        self.cache = {"double": 2 * self.weight}

    def forward(self, x):
        return x * self.cache["double"]


@pytest.mark.parametrize("operator", [HessianOperator, GradientDifferenceOperator])
def test_tensor_kept_in_a_dictionary_is_named(operator):
    batches = [(torch.randn(2, 5), torch.tensor([0, 1]))]
    with pytest.raises(ValueError, match=r"'cache', a tensor that (it|the model) computed"):
        operator(_Keeping(), F.cross_entropy, batches)


def test_function_differentiable_once_is_refused_where_no_product_would_raise():
    """Its second derivative is that of the input alone, so terms would be missing."""
    model = nn.Sequential(nn.Linear(4, 5), _Custom(), nn.Linear(5, 3))
    batches = [(torch.randn(2, 4), torch.tensor([0, 1]))]
    with pytest.raises(RuntimeError, match=r"differentiated only once .*GradientDifference"):
        HessianOperator(model, F.cross_entropy, batches)


class _Checkpointed(nn.Module):
    def forward(self, x):
        return checkpoint(torch.tanh, x, use_reentrant=True)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # of checkpointing
@pytest.mark.parametrize(
    ("activation", "method"),
    [
        (nn.Tanh, "exact"),
        (nn.Hardswish, "exact"),
        (nn.Hardsigmoid, "differences"),
        (_Custom, "differences"),
        (_Checkpointed, "differences"),
    ],
)
def test_method_is_differences_only_where_no_second_derivative_exists(
    activation, method, images, labels
):
    model = network(activation())
    assert choose_hessian_method(model, F.cross_entropy, images, labels) == method
    if activation in (_Custom, _Checkpointed):
        exact = HessianOperator(network(nn.Tanh()), F.cross_entropy, [(images, labels)])
        operator = GradientDifferenceOperator(model, F.cross_entropy, [(images, labels)])
        vector = torch.randn(exact.size, dtype=torch.float64)
        assert relative_error(operator @ vector, exact @ vector) < 1e-6


class _Random(nn.Module):
    def forward(self, x):
        return F.dropout(x, training=True)


def test_network_without_any_hessian_is_refused_with_both_reasons(images, labels):
    with pytest.raises(RuntimeError, match=r"no Hessian: .* by differences of gradients, .*random"):
        choose_hessian_method(network(_Random()), F.cross_entropy, images, labels)


def test_unusable_arguments_are_refused(batches, images, labels):
    model = network(nn.Tanh())
    for bad, message in [
        ([], "at least one batch, got none"),
        ([(images, labels[:5])], "got 23 inputs and 5 targets"),
        (iter(batches), "read only once"),
    ]:
        with pytest.raises(ValueError, match=message):
            GradientDifferenceOperator(model, F.cross_entropy, bad)
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        GradientDifferenceOperator(model, F.cross_entropy, batches, chunk_size=0)
    with pytest.raises(ValueError, match="no trainable weights"):
        GradientDifferenceOperator(nn.Flatten(), F.cross_entropy, batches)
    with pytest.raises(ValueError, match=r"scalar tensor, got shape \(10,\)"):
        GradientDifferenceOperator(model, nn.CrossEntropyLoss(reduction="none"), batches)
    operator = GradientDifferenceOperator(model, F.cross_entropy, batches)
    with pytest.raises(ValueError, match=r"vector must have shape \(\d+,\), got \(3,\)"):
        operator.matvec(torch.zeros(3))
