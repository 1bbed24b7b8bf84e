from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

REFERENCE = Path(__file__).parents[3] / "reference"


def load_reference(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REFERENCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def twins() -> ModuleType:
    return load_reference("algorithm_1")


@pytest.fixture(scope="session")
def methods() -> ModuleType:
    """Twins of SAM's line."""
    return load_reference("sharpness_aware")


@dataclass
class Problem:
    """A small classifier with BatchNorm, and a mini-batch for every step."""

    model: nn.Module
    inputs: Tensor
    labels: Tensor

    def groups(self) -> list[dict[str, object]]:
        first, norm, _, last = self.model
        return [
            {"params": [*first.parameters(), *norm.parameters()], "weight_decay": 0.05},
            {"params": list(last.parameters())},
        ]

    def loss(self, model: nn.Module, t: int) -> Tensor:
        t %= len(self.inputs)
        return F.cross_entropy(model(self.inputs[t]), self.labels[t])

    def closure(self, t: int) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            self.model.zero_grad()
            loss = self.loss(self.model, t)
            loss.backward()
            return loss

        return closure

    def weights(self) -> np.ndarray:
        return nn.utils.parameters_to_vector(self.model.parameters()).detach().double().numpy()

    def gradient(self) -> Callable[[np.ndarray, int], np.ndarray]:
        """The gradient as a function of a flat vector, on a model of its own."""
        model = copy.deepcopy(self.model)
        params = list(model.parameters())

        def gradient(w: np.ndarray, t: int) -> np.ndarray:
            with torch.no_grad():
                nn.utils.vector_to_parameters(torch.from_numpy(w.copy()), params)
            grads = torch.autograd.grad(self.loss(model, t), params)
            return torch.cat([g.flatten() for g in grads]).numpy()

        return gradient


def make_problem(seed: int = 0, dtype: torch.dtype = torch.float64) -> Problem:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    inputs = torch.randn(7, 16, 6, dtype=dtype)
    labels = torch.randint(0, 3, (7, 16))
    return Problem(model.to(dtype), inputs, labels)


@pytest.fixture
def problem() -> Problem:
    return make_problem()
