"""Small networks, their dense Hessians, and operators of known spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev
from torch.nn import functional as F


@dataclass(frozen=True)
class MatrixOperator:
    """An operator that offers no more than the protocol asks."""

    matrix: Tensor

    @property
    def size(self) -> int:
        return len(self.matrix)

    @property
    def dtype(self) -> torch.dtype:
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    def matvec(self, vector: Tensor) -> Tensor:
        return self.matrix @ vector


@pytest.fixture(scope="session")
def rotated() -> Callable[[Tensor], MatrixOperator]:
    """Make an operator with the given eigenvalues in random directions."""

    def make(eigenvalues: Tensor) -> MatrixOperator:
        generator = torch.Generator().manual_seed(1)
        size = len(eigenvalues)
        basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator).double())
        return MatrixOperator((basis * eigenvalues.double()) @ basis.T)

    return make


@pytest.fixture(scope="session")
def as_operator() -> type[MatrixOperator]:
    return MatrixOperator


class SmallViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 2, 2)
        self.norm = nn.LayerNorm(4)
        self.qkv = nn.Linear(4, 12)
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        q, k, v = self.qkv(self.norm(tokens)).unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.head((tokens + self.mlp(tokens + attended)).mean(1))


def small_cnn() -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(12, 3),
    )
    model(torch.randn(32, 1, 4, 4))  # running statistics other than the initial ones
    return model


def small_chain() -> nn.Sequential:
    """Layers that the operator multiplies as matrices: affine in eval mode, or ReLUs."""
    model = nn.Sequential(
        nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        ),
        nn.Conv2d(3, 2, (2, 1), padding=(0, 1), bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.Conv2d(2, 4, (1, 2)),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(12, 5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )
    for _ in range(3):
        model(3 * torch.randn(32, 1, 4, 4) + 1)
    return model


@pytest.fixture(params=[small_cnn, SmallViT, small_chain], ids=["cnn", "vit", "chain"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param().double()


@pytest.fixture
def small_vit() -> nn.Module:
    torch.manual_seed(0)
    return SmallViT().double()


@pytest.fixture
def cnn() -> nn.Module:
    torch.manual_seed(0)
    return small_cnn().double()


@pytest.fixture
def chain() -> nn.Module:
    torch.manual_seed(0)
    return small_chain().double()


@pytest.fixture(scope="session")
def images() -> Tensor:
    return torch.randn(23, 1, 4, 4, generator=torch.Generator().manual_seed(7)).double()


@pytest.fixture(scope="session")
def labels() -> Tensor:
    return torch.randint(3, (23,), generator=torch.Generator().manual_seed(8))


@pytest.fixture
def batches(images: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Ragged: 10, 10 and 3 examples."""
    return list(zip(images.split(10), labels.split(10), strict=True))


@pytest.fixture
def dense_hessian(images: Tensor, labels: Tensor) -> Callable[[nn.Module], Tensor]:
    """Compute the Hessian of the mean cross-entropy in eval mode with `torch.func`."""

    def compute(model: nn.Module) -> Tensor:
        weights = {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}

        def loss(vector: Tensor) -> Tensor:
            parts = torch.split(vector, [p.numel() for p in weights.values()])
            shaped = {k: v.view_as(weights[k]) for k, v in zip(weights, parts, strict=True)}
            return F.cross_entropy(functional_call(model, shaped, (images,)), labels)

        was_training = model.training
        model.eval()
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            dense = jacrev(grad(loss))(torch.cat([p.flatten() for p in weights.values()]))
        model.train(was_training)
        return dense

    return compute
