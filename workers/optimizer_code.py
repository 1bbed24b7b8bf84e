"""Python code that builds the optimizer of a trial, without sasam's specification where possible.

    from torch.optim import SGD
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=0.0001, momentum=0.9, fused=True)

Optimizers of other libraries and of users are built from the specification, as trials do.
"""

from __future__ import annotations

from typing import Any

from workers.catalog import optimizers
from workers.optimizer_classes import PERTURBATIONS, STEPPING
from workers.spec import TrialConfig
from workers.spec.optimizers import OptimizerSpec

__all__ = ["optimizer_code"]

_ALL = "model.parameters()"
_EXEMPTING = """\
# Biases and normalisation layers have no weight decay.
groups = [
    {"params": [p for p in model.parameters() if p.ndim >= 2]},
    {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
]
"""
_FROM_SPECIFICATION = """\
from pathlib import Path

from workers.optimizers import build_optimizer
from workers.spec import load_spec

# best.yaml is the specification of this configuration.
trial = load_spec(Path("best.yaml").read_text()).trials[0]
optimizer = build_optimizer(trial, model)
"""
_CLOSURE = """
# optimizer.step takes a closure that computes the loss and its gradient.
"""


def optimizer_code(trial: TrialConfig) -> str:
    """Code that builds the optimizer of a trial for a network named ``model``."""
    section = trial.optimizer
    base = getattr(section, "base", None)
    stepping = base or section
    if stepping.name not in STEPPING or (base is not None and section.name not in PERTURBATIONS):
        return _FROM_SPECIFICATION
    rates = {"lr": trial.learning_rate, "weight_decay": trial.weight_decay}
    call, imported, prologue = _stepping_call(stepping, rates)
    imports = {imported}
    if base is not None:
        chosen = PERTURBATIONS[section.name]
        options = {name: value for name, value in section.options().items() if name != "base"}
        model = {"model": "model"} if chosen.takes_model else {}
        perturbation = _call(chosen.name, options, model)
        call = f"SharpnessAware({call}, {perturbation}, model=model)"
        imports |= {(chosen.module, chosen.name), (chosen.module, "SharpnessAware")}
    lines = [
        f"from {module} import {', '.join(_names(imports, module))}"
        for module in sorted({module for module, _ in imports}, reverse=True)
    ]
    closure = (
        _CLOSURE if optimizers.facts(section.name)["gradient_evaluations_per_step"] > 1 else ""
    )
    return "\n".join(lines) + f"\n\n{prologue}optimizer = {call}\n{closure}"


def _stepping_call(
    section: OptimizerSpec, rates: dict[str, float | None]
) -> tuple[str, tuple[str, str], str]:
    """The constructor's call, the module and name to import, and the lines before the call."""
    chosen, facts = STEPPING[section.name], optimizers.facts(section.name)
    options = section.options()
    is_exempting = options.pop("exempt_vectors", False)
    options.pop("base", None)
    given = {
        name: facts.get(f"default_{full}") if value is None else value
        for (name, value), full in zip(
            rates.items(), ("learning_rate", "weight_decay"), strict=True
        )
    }
    model = {"model": "model"} if chosen.takes_model else {}
    call = _call(
        chosen.name,
        {name: value for name, value in given.items() if value is not None}
        | options
        | dict(chosen.fixed),
        model,
        "groups" if is_exempting else _ALL,
    )
    return call, (chosen.module, chosen.name), _EXEMPTING if is_exempting else ""


def _call(name: str, options: dict[str, Any], expressions: dict[str, str], *positional: str) -> str:
    """A call with values of options and expressions as its keyword arguments."""
    given = [f"{option}={value!r}" for option, value in options.items()]
    given += [f"{option}={text}" for option, text in expressions.items()]
    return f"{name}({', '.join([*positional, *given])})"


def _names(imports: set[tuple[str, str]], module: str) -> list[str]:
    return sorted(name for of, name in imports if of == module)
