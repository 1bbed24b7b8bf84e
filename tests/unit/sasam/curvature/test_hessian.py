from __future__ import annotations

import copy
import gc
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from sasam.curvature import (
    GradientDifferenceOperator,
    HessianOperator,
    estimate_extremal_eigenvalues,
    estimate_trace,
)
from sasam.curvature._affine_chain import ChainGraph
from sasam.curvature._graphs import GradientGraph


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [None, 1, 4])
@pytest.mark.parametrize("cache_bytes", [0, 6000, 2**30])
def test_products_over_ragged_batches_equal_dense_hessian(
    model, batches, dense_hessian, chunk_size, cache_bytes
):
    dense = dense_hessian(model)
    operator = HessianOperator(
        model, F.cross_entropy, batches, chunk_size=chunk_size, cache_bytes=cache_bytes
    )
    block = torch.randn(operator.size, 3, dtype=torch.float64)
    for _ in range(2):  # the second time from kept graphs
        torch.testing.assert_close(operator @ block, dense @ block, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(operator @ dense[0], dense @ dense[0], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_ends_and_trace_equal_those_of_dense_hessian(model, batches, dense_hessian):
    dense = dense_hessian(model)
    operator = HessianOperator(model, F.cross_entropy, batches)
    ends = estimate_extremal_eigenvalues(operator, tolerance=1e-9, max_matvecs=500)
    expected = torch.linalg.eigvalsh(dense)
    assert ends.lambda_max == pytest.approx(float(expected[-1]), rel=1e-6)
    assert ends.lambda_min == pytest.approx(float(expected[0]), rel=1e-6)
    trace = estimate_trace(operator, max_matvecs=operator.size, layers=operator.layers)
    assert trace.value == pytest.approx(float(dense.trace()), rel=1e-6)
    for name, layer in operator.layers.items():
        block = dense[layer, layer]
        assert trace.layers[name].value == pytest.approx(float(block.trace()), rel=1e-6, abs=1e-9)


def test_guesses_hold_much_of_the_extremal_eigenvectors(cnn, images, labels, dense_hessian):
    _, vectors = torch.linalg.eigh(dense_hessian(cnn))
    operator = HessianOperator(cnn, F.cross_entropy, [(images, labels)], chunk_size=12)
    guesses = operator.extremal_guesses()
    assert guesses.norm(dim=0).tolist() == pytest.approx([1.0, 1.0])
    assert abs(float(guesses[:, 1] @ vectors[:, -1])) > 0.5
    assert abs(float(guesses[:, 0] @ vectors[:, 0])) > 0.2


def test_float32_product_is_close_to_float64(cnn, images, labels):
    exact = HessianOperator(cnn, F.cross_entropy, [(images, labels)])
    single = HessianOperator(cnn.float(), F.cross_entropy, [(images.float(), labels)])
    vector = torch.randn(exact.size, dtype=torch.float64)
    torch.testing.assert_close(
        single.matvec(vector.float()).double(), exact.matvec(vector), rtol=1e-4, atol=1e-5
    )


def test_frozen_and_unused_weights_leave_the_others_right(cnn, batches, dense_hessian):
    cnn[0].weight.requires_grad_(False)
    dense = dense_hessian(cnn)
    cnn.register_parameter("unused", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    operator = HessianOperator(cnn, F.cross_entropy, batches)
    product = operator @ torch.eye(operator.size, dtype=torch.float64)
    torch.testing.assert_close(product[2:, 2:], dense)
    assert not product[:2].any()


class _Scaled(nn.Module):
    """A network with a weight without axes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        return self.scale * self.body(images)


def test_weight_without_axes_has_its_products(images, batches, dense_hessian):
    model = _Scaled().to(images.dtype)
    model(images)
    operator = HessianOperator(model, F.cross_entropy, batches)
    matrix = dense_hessian(model)
    vectors = torch.randn(operator.size, 3, dtype=images.dtype)
    torch.testing.assert_close(operator.matmat(vectors), matrix @ vectors)
    forms = (vectors * (matrix @ vectors)).sum(0)
    torch.testing.assert_close(operator.quadratic_forms(vectors), forms)


def test_caller_stays_untouched(cnn, batches):
    cnn.train()
    cnn[6].bias.grad = torch.ones(3, dtype=torch.float64)
    before = copy.deepcopy(cnn.state_dict())
    estimate_trace(HessianOperator(cnn, F.cross_entropy, batches))
    assert all(torch.equal(before[name], value) for name, value in cnn.state_dict().items())
    assert all(module.training for module in cnn.modules())
    assert torch.equal(cnn[6].bias.grad, torch.ones(3, dtype=torch.float64))
    assert all(p.grad is None for p in list(cnn.parameters())[:-1])


def test_later_training_does_not_change_the_operator(cnn, batches):
    operator = HessianOperator(cnn, F.cross_entropy, batches, cache_bytes=0)
    vector = torch.randn(operator.size, dtype=torch.float64)
    before = operator.matvec(vector)
    with torch.no_grad():
        cnn[6].weight.add_(1.0)
    assert torch.equal(operator.matvec(vector), before)


@pytest.mark.slow
def test_no_graph_survives_the_operator(model, batches):
    operator = HessianOperator(model, F.cross_entropy, batches)
    product = operator.matvec(torch.ones(operator.size, dtype=torch.float64))
    assert product.grad_fn is None
    assert not product.requires_grad
    del operator, product
    gc.collect()
    assert not [x for x in gc.get_objects() if type(x) in {ChainGraph, GradientGraph}]


@pytest.mark.parametrize("kind", [HessianOperator, GradientDifferenceOperator])
def test_operator_on_other_batches_equals_one_made_for_them(model, images, labels, kind):
    first = kind(model, F.cross_entropy, [(images[:2], labels[:2])])
    vector = torch.randn(first.size, dtype=torch.float64)
    before = first.matvec(vector)
    others = [(images[2:9], labels[2:9]), (images[9:], labels[9:])]
    found, expected = first.on(others), kind(model, F.cross_entropy, others)
    assert (found.loss, found.num_examples) == (expected.loss, 21)
    assert torch.equal(found.matvec(vector), expected.matvec(vector))
    assert not torch.allclose(before, expected.matvec(vector))
    assert torch.equal(first.matvec(vector), before)


@pytest.mark.parametrize("kind", [HessianOperator, GradientDifferenceOperator])
def test_operator_on_other_batches_refuses_them_as_on_construction(cnn, images, labels, kind):
    first = kind(cnn, F.cross_entropy, [(images, labels)])
    with pytest.raises(ValueError, match="read only once"):
        first.on(iter([(images, labels)]))
    with pytest.raises(ValueError, match="at least one batch"):
        first.on([])
    with pytest.raises(ValueError, match="as many targets as inputs"):
        first.on([(images, labels[:5])])


def test_operator_on_other_batches_checks_their_order_and_denominator(cnn, images, labels):
    def ignoring(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs, targets, ignore_index=0)

    first = HessianOperator(cnn, ignoring, [(images[labels > 0], labels[labels > 0])])
    with pytest.raises(ValueError, match="denominator"):
        first.on([(images, labels)])
    shuffled = DataLoader(TensorDataset(images, labels.clamp(min=1)), batch_size=4, shuffle=True)
    with pytest.raises(RuntimeError, match="differs between two passes"):
        first.on(shuffled)


def test_no_grad_and_autocast_of_the_caller_change_nothing(cnn, batches, dense_hessian):
    dense = dense_hessian(cnn)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        operator = HessianOperator(cnn, F.cross_entropy, batches)
        product = operator @ torch.eye(operator.size, dtype=torch.float64)
    torch.testing.assert_close(product, dense)


def test_loader_gives_the_same_products_as_a_list(cnn, images, labels, batches):
    loader = DataLoader(TensorDataset(images, labels), batch_size=10)
    vector = torch.randn(cnn[0].weight.numel() + 6 + 39, dtype=torch.float64)
    from_loader = HessianOperator(cnn, F.cross_entropy, loader, cache_bytes=0).matvec(vector)
    assert torch.equal(from_loader, HessianOperator(cnn, F.cross_entropy, batches).matvec(vector))


def test_loss_is_the_mean_over_all_examples(cnn, images, labels, batches):
    operator = HessianOperator(cnn, F.cross_entropy, batches)
    expected = F.cross_entropy(cnn.eval()(images), labels).item()
    assert operator.loss == pytest.approx(expected)
    assert operator.num_examples == 23


def test_dead_network_has_its_fingerprint():
    torch.manual_seed(0)
    dead = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 10)).double()
    with torch.no_grad():
        dead[1].bias.fill_(-1e3)
        dead[3].bias.zero_()
    labels = torch.arange(50) % 10
    operator = HessianOperator(dead, F.cross_entropy, [(torch.rand(50, 1, 4, 4).double(), labels)])
    # Only the last bias has curvature: diag(p) - pp' with p = 1/10.
    assert operator.loss == pytest.approx(math.log(10))
    assert estimate_trace(operator, max_matvecs=operator.size).value == pytest.approx(0.9)
    ends = estimate_extremal_eigenvalues(operator)
    assert ends.lambda_max == pytest.approx(0.1)
    assert ends.lambda_min == pytest.approx(0.0, abs=1e-12)


def test_diverged_weights_give_nan(cnn, batches):
    with torch.no_grad():
        cnn[6].weight.fill_(math.inf)
    operator = HessianOperator(cnn, F.cross_entropy, batches)
    assert math.isnan(operator.loss)
    assert math.isnan(estimate_trace(operator, max_matvecs=20).value)
    assert math.isnan(estimate_extremal_eigenvalues(operator).lambda_max)


class _Noisy(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.model(F.dropout(inputs, training=True))


def test_model_that_draws_random_numbers_is_refused(cnn, batches):
    with pytest.raises(RuntimeError, match="differs between two passes"):
        HessianOperator(_Noisy(cnn), F.cross_entropy, batches)


class _Augmented(TensorDataset):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        image, label = super().__getitem__(index)
        return image + torch.randn_like(image), label


def test_augmented_batches_are_refused(cnn, images, labels):
    with pytest.raises(RuntimeError, match="augmented"):
        HessianOperator(cnn, F.cross_entropy, DataLoader(_Augmented(images, labels), 10))


def test_shuffled_batches_are_refused(cnn, images, labels):
    loader = DataLoader(TensorDataset(images, labels), 10, shuffle=True)
    with pytest.raises(RuntimeError, match="shuffled"):
        HessianOperator(cnn, F.cross_entropy, loader)


def test_unusable_batches_are_refused(cnn, images, labels, batches):
    for bad, message in [
        ([], "at least one batch, got none"),
        ([(images[:0], labels[:0])], "got 0 inputs and 0 targets"),
        ([(images, labels[:5])], "got 23 inputs and 5 targets"),
        ([images], "pair"),
        (iter(batches), "read only once"),
    ]:
        with pytest.raises(ValueError, match=message):
            HessianOperator(cnn, F.cross_entropy, bad)


def test_unusable_losses_are_refused(cnn, batches):
    for reduction, message in [
        ("none", r"scalar tensor, got shape \(2,\)"),
        ("sum", "mean over examples"),
    ]:
        with pytest.raises(ValueError, match=message):
            HessianOperator(cnn, nn.CrossEntropyLoss(reduction=reduction), batches)
    with pytest.raises(RuntimeError, match="does not depend on the trainable weights"):
        HessianOperator(cnn, lambda outputs, _: outputs.detach().mean(), batches)


@pytest.mark.parametrize("chunk_size", [None, 1, 4])
@pytest.mark.parametrize("cache_bytes", [0, 2**30])
@pytest.mark.parametrize("kind", ["ignored", "weighted"])
def test_ratio_losses_equal_those_of_one_batch(cnn, images, labels, chunk_size, cache_bytes, kind):
    """The first example is ignored, and so is a whole chunk."""
    weight = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    targets = labels.clone()
    if kind == "ignored":
        targets[:5] = targets[8] = -100
        loss_fn, denominator = F.cross_entropy, lambda t: (t != -100).sum()
    else:
        loss_fn, denominator = nn.CrossEntropyLoss(weight), lambda t: weight[t].sum()
    batches = list(zip(images.split(10), targets.split(10), strict=True))
    operator = HessianOperator(
        cnn,
        loss_fn,
        batches,
        chunk_size=chunk_size,
        cache_bytes=cache_bytes,
        denominator=denominator,
    )
    parameters = list(cnn.eval().parameters())
    loss = loss_fn(cnn(images), targets)
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    gradient = torch.cat([g.flatten() for g in gradients])
    vector = torch.randn(operator.size, dtype=torch.float64)
    product = torch.cat([g.flatten() for g in torch.autograd.grad(gradient @ vector, parameters)])
    assert operator.loss == pytest.approx(loss.item())
    torch.testing.assert_close(operator @ vector, product, rtol=1e-9, atol=1e-12)
    for chunks in (chunk_size, 10):
        with pytest.raises(ValueError, match="pass a function that returns this number"):
            HessianOperator(cnn, loss_fn, batches, chunk_size=chunks)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
def test_old_weight_norm_is_copied_and_stale_tensors_are_refused(cnn, batches):
    cnn[6] = nn.utils.weight_norm(cnn[6])
    assert HessianOperator(cnn, F.cross_entropy, batches).size == 27 + 6 + 39 + 3
    cnn.scale = cnn[0].weight.sum()
    HessianOperator(cnn, F.cross_entropy, batches)  # not used
    cnn[4].register_forward_hook(lambda module, inputs, outputs: outputs * module.scale)
    cnn[4].scale = cnn[0].weight.sum()
    with pytest.raises(ValueError, match=r"depends on '4\.scale'"):
        HessianOperator(cnn, F.cross_entropy, batches)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bfloat16, torch.float16])
def test_parameters_without_real_full_precision_are_refused(cnn, batches, dtype):
    cnn.odd = nn.Parameter(torch.ones(2, dtype=dtype))
    with pytest.raises(ValueError, match=f"got {dtype} for 'odd'"):
        HessianOperator(cnn, F.cross_entropy, batches)


def test_later_batches_that_change_are_refused(cnn, batches):
    changing = list(batches)
    operator = HessianOperator(cnn, F.cross_entropy, changing, cache_bytes=0)
    vector = torch.ones(operator.size, dtype=torch.float64)
    changing[1] = (2 * batches[1][0], batches[1][1])
    with pytest.raises(RuntimeError, match="differs between two passes"):
        operator @ vector
    del changing[1:]
    with pytest.raises(RuntimeError, match="differs between two passes"):
        operator @ vector


def test_small_work_runs_on_one_thread_and_restores_the_number(cnn, batches):
    before, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(2)
        cnn.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
        HessianOperator(cnn, F.cross_entropy, batches)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_unusable_models_are_refused(cnn, batches):
    with pytest.raises(ValueError, match="no trainable weights"):
        HessianOperator(nn.Flatten(), F.cross_entropy, batches)
    cnn[0].float()
    with pytest.raises(ValueError, match=r"float32 on cpu for '0.weight' and torch"):
        HessianOperator(cnn, F.cross_entropy, batches)


def test_numbers_out_of_range_are_refused(cnn, batches):
    with pytest.raises(ValueError, match="chunk_size must be None or at least 1, got 0"):
        HessianOperator(cnn, F.cross_entropy, batches, chunk_size=0)
    with pytest.raises(ValueError, match="cache_bytes must be at least 0, got -1"):
        HessianOperator(cnn, F.cross_entropy, batches, cache_bytes=-1)
    operator = HessianOperator(cnn, F.cross_entropy, batches)
    with pytest.raises(ValueError, match=r"vector must have shape \(72,\), got \(3,\)"):
        operator.matvec(torch.zeros(3))
    with pytest.raises(ValueError, match=r"vectors must have shape \(72, k\), got \(3, 2\)"):
        operator.matmat(torch.zeros(3, 2))
