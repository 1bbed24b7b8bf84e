"""The small transformer for text."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from sasam.curvature import HessianOperator, choose_hessian_method
from workers.catalog import models
from workers.models import build_model, count_parameters
from workers.models.gpt import gpt
from workers.spec import ModelSpec

CONTEXT, TOKENS = 6, 5


@pytest.fixture
def network():
    torch.manual_seed(0)
    return gpt(num_classes=TOKENS, context=CONTEXT, width=4, depth=1, heads=2).double().eval()


@pytest.fixture
def tokens():
    return torch.randint(TOKENS, (3, CONTEXT + 1), generator=torch.Generator().manual_seed(1))


def attention_by_loops(block, x):
    """Textbook: for each sequence, head and position a softmax over the earlier positions."""
    n, length, width = x.shape
    size = width // block.heads
    qkv = (x @ block.to_qkv.weight.T).reshape(n, length, 3, block.heads, size)
    mixed = torch.zeros(n, length, width, dtype=x.dtype)
    for i in range(n):
        for h in range(block.heads):
            for t in range(length):
                logits = [float(qkv[i, t, 0, h] @ qkv[i, s, 1, h]) for s in range(t + 1)]
                shares = [math.exp(logit / math.sqrt(size)) for logit in logits]
                mixed[i, t, h * size : (h + 1) * size] = sum(
                    share / sum(shares) * qkv[i, s, 2, h] for s, share in enumerate(shares)
                )
    return mixed @ block.project.weight.T


def test_gpt_attention_is_the_textbook_one(network):
    block = network.blocks[0].attention
    x = torch.randn(2, CONTEXT, 4, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(block(x), attention_by_loops(block, x), atol=1e-12)


def test_gpt_sees_no_later_token(network, tokens):
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % TOKENS
    one, other = network(tokens[:, :-1]), network(changed[:, :-1])
    assert one.shape == (3, TOKENS, CONTEXT)
    assert torch.equal(one[..., :4], other[..., :4])
    assert not torch.allclose(one[..., 4], other[..., 4])


def test_gpt_ties_its_embedding(network):
    names = [name for name, _ in network.named_parameters()]
    assert not [name for name in names if "head" in name]
    expected = TOKENS * 4 + CONTEXT * 4 + 4 * (3 * 4 + 4) + 2 * 4 * 16 + 3 * 2 * 4
    assert count_parameters(network) == expected


def test_gpt_has_the_documented_size():
    assert count_parameters(gpt(num_classes=64, context=64)) == 107_136


def test_gpt_starts_near_a_uniform_guess(tokens):
    torch.manual_seed(0)
    network = gpt(num_classes=TOKENS, context=CONTEXT)
    loss = F.cross_entropy(network(tokens[:, :-1]), tokens[:, 1:])
    assert loss.item() == pytest.approx(math.log(TOKENS), abs=0.1)


@pytest.mark.slow
def test_gpt_hessian_is_the_dense_one(network, tokens):
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    assert choose_hessian_method(network, F.cross_entropy, inputs, labels) == "exact"
    named = dict(network.named_parameters())
    sizes = [p.numel() for p in named.values()]

    def loss(flat):
        parts = {
            name: part.view_as(p)
            for (name, p), part in zip(named.items(), flat.split(sizes), strict=True)
        }
        return F.cross_entropy(torch.func.functional_call(network, parts, (inputs,)), labels)

    flat = torch.cat([p.detach().flatten() for p in named.values()])
    dense = torch.autograd.functional.hessian(loss, flat)
    operator = HessianOperator(
        network, F.cross_entropy, [(inputs[:2], labels[:2]), (inputs[2:], labels[2:])]
    )
    vector = torch.randn(sum(sizes), dtype=torch.float64)
    assert torch.allclose(operator @ vector, dense @ vector, atol=1e-10)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"width": 6, "heads": 4}, "width must be a multiple of heads, got width 6 and heads 4"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_gpt_bad_argument_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build_model(ModelSpec(name="gpt", kwargs=kwargs), num_classes=TOKENS, context=CONTEXT)


def test_gpt_takes_the_keywords_in_the_catalog():
    kwargs = {"width": 8, "depth": 1, "heads": 2, "dropout": 0.1}
    assert tuple(kwargs) == models.entry("gpt").facts["kwargs"]
    build_model(ModelSpec(name="gpt", kwargs=kwargs), num_classes=TOKENS, context=CONTEXT)
