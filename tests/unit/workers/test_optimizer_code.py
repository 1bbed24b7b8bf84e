"""Code that builds an optimizer builds the one that trials use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from workers.catalog import optimizers
from workers.optimizer_code import optimizer_code
from workers.optimizers import build_optimizer
from workers.spec import SweepSpec, TrialConfig
from workers.spec.writing import yaml_text

BUILT_IN = [name for name in optimizers.entries() if not name.endswith(":")]


def trial_of(optimizer: Any) -> tuple[TrialConfig, dict[str, Any]]:
    """A trial and the specification that has it alone."""
    plain = {
        "name": "digits",
        "dataset": "digits",
        "model": "cnn-tiny",
        "ood": None,
        "curvature": None,
        "optimizers": [optimizer],
        "search": {"learning_rate": [0.01], "weight_decay": [1e-4]},
    }
    return SweepSpec.model_validate(plain).trials[0], plain


def settings(optimizer: Any) -> list[dict[str, Any]]:
    """What an optimizer was built with: its defaults and its groups, without the tensors."""
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        | {"n": len(group["params"])}
        for group in optimizer.param_groups
    ]
    return [{name: repr(value) for name, value in group.items()} for group in [*groups]]


@pytest.mark.parametrize(
    "optimizer",
    [
        *BUILT_IN,
        {"name": "adamw", "exempt_vectors": True, "betas": [0.8, 0.95]},
        {"name": "sam", "rho": 0.1, "base": {"name": "adamw"}},
        {"name": "asam", "rho": 1.0, "base": {"name": "msgd", "momentum": 0.8}},
        "torch:RMSprop",
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value['name']} with options",
)
def test_code_builds_the_optimizer_of_the_trial(
    optimizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, plain = trial_of(optimizer)
    monkeypatch.chdir(tmp_path)
    Path("best.yaml").write_text(yaml_text(plain))
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 10)
    )
    names: dict[str, Any] = {"model": model}
    exec(optimizer_code(trial), names)  # noqa: S102 - what is tested
    expected = build_optimizer(trial, model)
    assert type(names["optimizer"]) is type(expected)
    assert settings(names["optimizer"]) == settings(expected)
    assert repr(names["optimizer"]) == repr(expected)


def test_code_of_a_plain_optimizer_needs_its_library_alone() -> None:
    trial, _ = trial_of({"name": "msgd", "momentum": 0.8})
    assert optimizer_code(trial).startswith(
        "from torch.optim import SGD\n\noptimizer = SGD(model.parameters(), lr=0.01, "
        "weight_decay=0.0001, momentum=0.8"
    )
