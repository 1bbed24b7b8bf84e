"""Products by the matrices of layers against those of the graph that is differentiated twice."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sasam.curvature import HessianOperator, _affine_chain, estimate_trace
from sasam.curvature._affine_chain import AffineChain, ChainGraph
from sasam.curvature._graphs import GradientGraph
from workers.models import build_model
from workers.spec import ModelSpec


def kinds_of_graphs(operator: HessianOperator) -> set[type]:
    return {type(graph) for graph in operator._graphs()}


def read(model: nn.Module, shape: tuple[int, ...] = (1, 4, 4)) -> AffineChain | None:
    return AffineChain.of(model.eval(), list(model.parameters()), torch.Size(shape))


def test_chain_is_multiplied_by_matrices_and_other_networks_are_not(chain, cnn, small_vit, batches):
    assert kinds_of_graphs(HessianOperator(chain, F.cross_entropy, batches)) == {ChainGraph}
    for other in (cnn, small_vit):
        assert kinds_of_graphs(HessianOperator(other, F.cross_entropy, batches)) == {GradientGraph}


def test_quadratic_forms_equal_those_of_dense_hessian(model, batches, dense_hessian):
    dense = dense_hessian(model)
    vectors = torch.randn(len(dense), 4, dtype=torch.float64)
    forms = HessianOperator(model, F.cross_entropy, batches, chunk_size=4).quadratic_forms(vectors)
    torch.testing.assert_close(forms, (vectors * (dense @ vectors)).sum(0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("examples", [1, 23])
def test_chain_multiplies_blocks_like_single_vectors_and_like_the_graph(
    chain, images, labels, examples, monkeypatch
):
    batches = [(images[:examples], labels[:examples])]
    operator = HessianOperator(chain, F.cross_entropy, batches)
    with monkeypatch.context() as patch:
        patch.setattr(AffineChain, "of", lambda *_: None)
        by_graph = HessianOperator(chain, F.cross_entropy, batches)
    (graph,) = operator._graphs()
    per_direction = sum(inputs.nbytes for inputs in graph._inputs)
    for count in (7, 1, 3):  # several groups of different sizes, one of one, one group
        vectors = torch.randn(operator.size, count, dtype=torch.float64)
        expected = by_graph.matmat(vectors)
        for at_once in (1, 2, 7):
            monkeypatch.setattr(_affine_chain, "_GROUP_BYTES", at_once * per_direction)
            assert len(graph._groups(vectors.T)) == -(-count // at_once)
            products, forms = operator.matmat(vectors), operator.quadratic_forms(vectors)
            torch.testing.assert_close(products, expected, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(forms, (vectors * expected).sum(0), rtol=1e-9, atol=1e-12)
            single = torch.stack([operator.matvec(vector) for vector in vectors.T], 1)
            torch.testing.assert_close(products, single, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hutchpp", "hutchinson"])
def test_trace_is_the_same_with_layers_from_products_and_without_from_forms(chain, batches, method):
    operator = HessianOperator(chain, F.cross_entropy, batches)
    found = [
        estimate_trace(operator, method=method, max_matvecs=operator.size - 1, layers=layers)
        for layers in ({}, operator.layers)
    ]
    assert found[0].value == pytest.approx(found[1].value, rel=1e-9)
    assert found[0].standard_error == pytest.approx(found[1].standard_error, rel=1e-6)
    assert found[0].matvecs == found[1].matvecs


def test_cnn_tiny_on_digits_has_the_products_of_its_graph_up_to_rounding(monkeypatch):
    torch.manual_seed(0)
    model = build_model(ModelSpec(name="cnn-tiny"), num_classes=10, in_channels=1, image_size=8)
    batch = torch.randn(200, 1, 8, 8), torch.arange(200) % 10
    for _ in range(30):
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
    by_matrices = HessianOperator(model, F.cross_entropy, [batch])
    assert kinds_of_graphs(by_matrices) == {ChainGraph}
    monkeypatch.setattr(AffineChain, "of", lambda *_: None)
    by_graph = HessianOperator(model, F.cross_entropy, [batch])
    assert kinds_of_graphs(by_graph) == {GradientGraph}
    double = HessianOperator(model.double(), F.cross_entropy, [(batch[0].double(), batch[1])])
    vectors = torch.randn(double.size, 3)
    exact = double.matmat(vectors.double())
    errors = [
        float((operator.matmat(vectors) - exact).norm() / exact.norm())
        for operator in (by_matrices, by_graph)
    ]
    assert errors[0] < 1e-5
    assert errors[0] < 3 * errors[1]
    assert by_matrices.loss == by_graph.loss
    first = next(by_matrices._graphs()).gradient
    torch.testing.assert_close(first, next(by_graph._graphs()).gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m[1].weight.requires_grad_(False),
        lambda m: m.register_forward_hook(lambda *_: None),
        lambda m: m[1].register_forward_pre_hook(lambda *_: None),
        lambda m: m.append(nn.Softmax(1)),
        lambda m: m.insert(4, nn.MaxPool2d(1)),
        lambda m: m.__setitem__(1, nn.Conv2d(3, 2, (2, 1), padding="valid")),
        lambda m: m.__setitem__(2, nn.BatchNorm2d(2, track_running_stats=False)),
        lambda m: m.__setitem__(2, nn.BatchNorm2d(2, affine=False)),
        lambda m: m.pop(-1) and m.pop(-1) and m.pop(-1) and m.pop(-1),
        lambda m: nn.utils.parametrizations.weight_norm(m[-1]),
        lambda m: m.append(nn.ReLU()),
        lambda m: setattr(m[1], "forward", lambda x: x.clamp(0, 1)),
    ],
    ids=[
        *("frozen", "hook", "inner hook", "softmax", "pooling", "padding", "no statistics"),
        *("no weights", "no linear layer", "parametrized", "last ReLU", "own forward"),
    ],
)
def test_network_that_is_no_chain_is_not_read_as_one(chain, change):
    assert read(chain) is not None
    change(chain)
    parameters = [p for p in chain.parameters() if p.requires_grad]
    assert AffineChain.of(chain.eval(), parameters, torch.Size((1, 4, 4))) is None


@pytest.mark.parametrize("name", ["chain", "cnn"])
def test_autocast_of_the_caller_changes_no_product_in_single_precision(request, name, batches):
    network = request.getfixturevalue(name).float()
    single = [(inputs.float(), targets) for inputs, targets in batches]
    vector = torch.randn(sum(p.numel() for p in network.parameters()))
    expected = HessianOperator(network, F.cross_entropy, single).matvec(vector)
    with torch.autocast("cpu", torch.bfloat16):
        found = HessianOperator(network, F.cross_entropy, single).matvec(vector)
    torch.testing.assert_close(found, expected)


def test_large_images_and_shared_weights_are_not_read_as_a_chain():
    for size, is_chain in ((30, True), (31, False)):  # 9 copies of the pixels: at most 2**13
        model = nn.Sequential(
            nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(size * size, 2)
        )
        assert (read(model, (1, size, size)) is not None) == is_chain
    shared = nn.Linear(4, 4)
    assert read(nn.Sequential(shared, nn.ReLU(), shared), (4,)) is None


def test_network_whose_forward_pass_differs_from_its_layers_keeps_its_graph(chain, batches):
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, outputs: 2 * outputs if isinstance(module, nn.Linear) else None
    )
    try:
        operator = HessianOperator(chain, F.cross_entropy, batches)
        assert kinds_of_graphs(operator) == {GradientGraph}
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", [ChainGraph, GradientGraph])
def test_network_without_curvature_has_the_trace_0(chain, batches, kind, monkeypatch):
    if kind is GradientGraph:
        monkeypatch.setattr(AffineChain, "of", lambda *_: None)
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.zero_()  # dead: only the last bias has an effect

    def loss_fn(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.mean()

    operator = HessianOperator(chain, loss_fn, batches)
    assert kinds_of_graphs(operator) == {kind}
    for columns in (operator.matmat, operator.quadratic_forms):
        assert columns(torch.zeros(operator.size, 0, dtype=torch.float64)).numel() == 0
    found = estimate_trace(operator, max_matvecs=48)
    assert (found.value, found.standard_error) == (0, 0)


def test_diverged_chain_gives_nan(chain, batches):
    with torch.no_grad():
        chain[-1].weight.fill_(math.inf)
    operator = HessianOperator(chain, F.cross_entropy, batches)
    assert kinds_of_graphs(operator) == {ChainGraph}
    assert math.isnan(estimate_trace(operator, max_matvecs=20).value)


def test_loss_that_is_linear_in_the_outputs_has_the_curvature_of_the_layers_alone(
    chain, images, labels
):
    def loss_fn(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.gather(1, targets[:, None]).mean()

    batch = images[:10], labels[:10]
    operator = HessianOperator(chain, loss_fn, [batch])
    assert kinds_of_graphs(operator) == {ChainGraph}
    parameters = list(chain.eval().parameters())
    gradients = torch.autograd.grad(
        loss_fn(chain(batch[0]), batch[1]), parameters, create_graph=True
    )
    vector = torch.randn(operator.size, dtype=torch.float64)
    slope = torch.cat([g.flatten() for g in gradients]) @ vector
    products = torch.autograd.grad(
        slope, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    product = torch.cat([p.flatten() for p in products])
    torch.testing.assert_close(operator.matvec(vector), product)
    torch.testing.assert_close(operator.quadratic_forms(vector[:, None])[0], product @ vector)
