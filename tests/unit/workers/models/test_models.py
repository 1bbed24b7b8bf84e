from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.models import build_model, count_parameters, uses_channels_last
from workers.spec import ModelSpec, TrainingSpec

SMALL_VIT = {"dim": 32, "depth": 2, "heads": 4, "mlp_dim": 32}


def build(name, *, image_size=32, in_channels=3, num_classes=10, **kwargs):
    return build_model(
        ModelSpec(name=name, kwargs=kwargs),
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kwargs", "expected"),
    [
        # Sums over layers of the common CIFAR VGG-19, without the biases that BatchNorm cancels.
        ("vgg19", {}, 20_035_018),
        # The count of the network that the authors of SA-SAM train.
        ("vit-small", {}, 9_622_512),
        ("timm:vit_small_patch16_224", {"patch_size": 4}, 21_342_346),
        ("vgg11-slim", {}, 579_098),
        # kuangliu/pytorch-cifar's VGG-11 has 9,231,114, of which 2,752 are biases.
        ("vgg11-slim", {"width": 64}, 9_228_362),
    ],
)
def test_build_model_cifar_counts_parameters(name, kwargs, expected):
    with torch.device("meta") if not name.startswith("timm") else torch.device("cpu"):
        assert count_parameters(build(name, **kwargs)) == expected


def test_build_model_digits_counts_parameters():
    model = build("cnn-tiny", image_size=8, in_channels=1)
    assert count_parameters(model) == 9 * 16 + 2 * 16 + 9 * 16 * 32 + 2 * 32 + 128 * 10 + 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "image_size", "in_channels", "kwargs"),
    [
        ("cnn-tiny", 8, 1, {}),
        ("cnn-tiny", 4, 1, {"width": 3}),
        ("cnn-tiny", 29, 3, {}),
        ("vgg19", 32, 3, {"width": 2}),
        ("vgg11-slim", 70, 1, {"width": 2}),
        ("vit-small", 8, 1, SMALL_VIT),
        ("timm:resnet10t", 32, 3, {}),
        ("timm:vit_tiny_patch16_224", 24, 1, {"patch_size": 8, "depth": 1}),
    ],
)
def test_build_model_any_has_a_second_derivative(name, image_size, in_channels, kwargs):
    torch.manual_seed(0)
    model = build(name, image_size=image_size, in_channels=in_channels, num_classes=7, **kwargs)
    parameters = [p for p in model.parameters() if p.requires_grad]
    images = torch.randn(4, in_channels, image_size, image_size)
    with sdpa_kernel(SDPBackend.MATH):
        logits = model(images)
        loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 3]))
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        product = torch.autograd.grad(sum(g.square().sum() for g in gradients), parameters)
    assert logits.shape == (4, 7)
    assert all(torch.isfinite(p).all() for p in product)
    assert sum(float(p.abs().sum()) for p in product) > 0


def test_vit_small_attention_ignores_the_token_itself():
    block = build("vit-small", **SMALL_VIT).blocks[0].attention[1].eval()
    with torch.no_grad():
        # Only values of the other tokens are mixed: without them nothing is left.
        block.to_qkv.weight[64:].copy_(torch.eye(32))
        block.project[0].weight.copy_(torch.eye(32))
        block.project[0].bias.zero_()
        tokens = torch.zeros(1, 5, 32)
        tokens[0, 2] = 1.0
        mixed = block(tokens)
    assert mixed[0, 2].abs().max() == 0
    assert mixed[0, [0, 1, 3, 4]].min() > 0


def test_vit_small_patches_carry_shifted_copies():
    model = build("vit-small", image_size=8, in_channels=1, **SMALL_VIT)
    assert model.embed[0].normalized_shape == (5 * 4 * 4,)


@pytest.mark.parametrize(
    ("name", "image_size", "kwargs", "message"),
    [
        ("vgg19", 28, {}, "at least 32x32 pixels, got 28"),
        ("cnn-tiny", 3, {}, "at least 4x4 pixels, got 3"),
        ("cnn-tiny", 8, {"width": 0}, "width must be at least 1, got 0"),
        ("vit-small", 30, {}, "multiple of patch_size 4, got 30"),
        ("vit-small", 32, {"heads": 5}, "multiple of heads, got dim 512 and heads 5"),
        ("vit-small", 32, {"depth": 0}, "depth must be at least 1, got 0"),
        ("cnn-tiny", 8, {"width": "wide"}, "does not take"),
        ("timm:resnet", 32, {}, "did you mean resnet"),
        ("timm:resnet18", 32, {"depht": 3}, "unexpected keyword argument 'depht'"),
        ("timm:vit_tiny_patch16_224", 32, {"embed_dim": 31}, "does not take"),
        ("timm:resnet18", 32, {"pretrained": True}, "pretrained of timm:resnet18 is not allowed"),
        ("timm:resnet18", 32, {"checkpoint_path": "/etc/passwd"}, "checkpoint_path"),
        ("timm:hf-hub:timm/resnet18", 32, {}, "has no model"),
        ("timm:local-dir:/etc", 32, {}, "has no model"),
    ],
)
def test_build_model_bad_input_says_what_is_allowed(name, image_size, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(name, image_size=image_size, **kwargs)


def test_build_model_same_seed_gives_same_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build("vgg11-slim", width=2).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(3, 8, 1, stride=2), False),
        (nn.Conv2d(4, 8, 1, stride=(1, 2)), False),
        (nn.Conv2d(3, 8, 1), True),
        (nn.Conv2d(3, 8, 3, stride=2), True),
        (nn.Conv2d(16, 8, 1, stride=2), True),
    ],
    ids=repr,
)
def test_uses_channels_last_unless_a_gradient_would_be_wrong(layer, expected):
    network = nn.Sequential(nn.ReLU(), layer)
    training = TrainingSpec()
    assert uses_channels_last(training, network, torch.device("cpu")) is expected
    assert uses_channels_last(training, network, torch.device("cuda"))
    assert not uses_channels_last(TrainingSpec(channels_last=False), network, torch.device("cuda"))
