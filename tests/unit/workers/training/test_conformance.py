"""Conformance of optimizers that are not built in, on a small convolutional network."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from workers import optimizer_families
from workers.catalog import optimizers
from workers.optimizers import build_from_section
from workers.spec import validate_spec
from workers.spec.fields import STORED
from workers.spec.optimizers import VARIANTS
from workers.spec.stepping_optimizers import FamilyOptimizer
from workers.training.conformance import (
    check_conformance,
    needs_check,
    stated_conformance,
)
from workers.training.weight_decay import measure_weight_decay

BUILT_IN = [name for name in VARIANTS if name not in ("family", "plugin")]


def section_of(optimizer):
    data = {"name": "a", "dataset": "digits", "model": "cnn-tiny", "optimizers": [optimizer]}
    return validate_spec(data).optimizers[0]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


@pytest.fixture
def check(network):
    images, labels = torch.randn(16, 1, 8, 8), torch.arange(16) % 10

    def check(optimizer, *, lr=1e-3, weight_decay=1e-4, **options):
        return check_conformance(
            section_of(optimizer),
            network,
            images,
            labels,
            lr=lr,
            weight_decay=weight_decay,
            **options,
        )

    return check


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_optimizer_is_what_the_catalog_states(check, name):
    section = section_of(name)
    assert not needs_check(section)
    found, stated = check(name), stated_conformance(section)
    expected = {"sa-sam": 2.5, "sa-sgd": 1.5, "looksam": 1.5}  # over the first two steps
    evaluations = expected.get(name, stated.gradient_evaluations)
    assert found.gradient_evaluations == evaluations
    assert found.weight_decay == stated.weight_decay is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["msgd", "adam", "adamw", "nadamw", "muon", "lion", "soap"])
def test_stated_weight_decay_is_the_measured_one(network, name):
    stated = optimizers.entry(name).facts["weight_decay"]
    assert measure_weight_decay(section_of(name), network) == stated
    exempting = section_of({"name": name, "exempt_vectors": True})
    assert exempting.weight_decay_kind == "exempting"
    assert measure_weight_decay(exempting, network) == "exempting"


CONSTRUCTORS = {
    "adam": ("torch", "Adam"),
    "msgd": ("torch", "SGD"),
    "adamw": ("torch", "AdamW"),
    "nadamw": ("timm", "nadamw"),
    "muon": ("timm", "muon"),
    "lion": ("timm", "lion"),
    "soap": ("pytorch-optimizer", "SOAP"),
    "schedule-free-adamw": ("pytorch-optimizer", "ScheduleFreeAdamW"),
    "schedule-free-sgd": ("pytorch-optimizer", "ScheduleFreeSGD"),
    "prodigy": ("pytorch-optimizer", "Prodigy"),
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_stated_defaults_are_those_of_the_constructor(name):
    facts = optimizers.entry(name).facts
    constructor = optimizer_families.constructor_of(*CONSTRUCTORS[name])
    stated = facts["default_learning_rate"], facts["default_weight_decay"]
    assert optimizer_families.default_configuration(constructor) == stated


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "evaluations", "decay", "defaults"),
    [
        ("torch:AdamW", 1, "decoupled", (1e-3, 1e-2)),
        ("torch:RMSprop", 1, "coupled", (1e-2, 0.0)),
        ({"name": "torch:RMSprop", "exempt_vectors": True}, 1, "exempting", (1e-2, 0.0)),
        ({"name": "torch:NAdam", "kwargs": {"decoupled_weight_decay": True}}, 1, "decoupled", None),
        ("timm:sgd", 1, "coupled", (1e-3, 0.0)),
        ("timm:lion", 1, "decoupled", (1e-4, 0.0)),
        ({"name": "timm:lion", "kwargs": {"betas": [0.9, 0.95]}}, 1, "decoupled", None),
        ("pytorch-optimizer:AdaBelief", 1, "decoupled", None),
        ("pytorch-optimizer:AdaHessian", 1, "decoupled", None),
        ({"name": "sam", "base": "torch:RMSprop"}, 2, "coupled", (1e-2, 0.0)),
        ({"name": "asam", "base": "timm:lion"}, 2, "decoupled", (1e-4, 0.0)),
    ],
    ids=str,
)
def test_check_finds_cost_decay_and_defaults(check, optimizer, evaluations, decay, defaults):
    assert needs_check(section_of(optimizer))
    found = check(optimizer)
    assert found.gradient_evaluations == evaluations
    assert found.weight_decay == decay
    if defaults is not None:
        assert (found.default_learning_rate, found.default_weight_decay) == defaults
    assert "resumes bit for bit" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RAdam", "ScheduleFreeRAdam"])
def test_check_waits_for_an_optimizer_that_changes_nothing_at_first(check, name):
    assert check(f"pytorch-optimizer:{name}").gradient_evaluations == 1


@pytest.mark.slow
def test_check_counts_the_evaluations_of_lbfgs(check):
    found = check("torch:LBFGS", weight_decay=0.0)
    assert found.gradient_evaluations == 20
    assert str(found).startswith("20 gradient evaluations per step, no weight decay, ")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sam", "torch:LBFGS", "torch:RMSprop", "adamw", "soap"])
def test_check_passes_in_half_precision(check, optimizer):
    assert check(optimizer, weight_decay=0.0, precision=torch.float16).gradient_evaluations >= 1


@pytest.mark.parametrize(
    ("optimizer", "options", "message"),
    [
        ("torch:Muon", {}, "Muon only supports 2D parameters"),
        ("torch:SparseAdam", {"weight_decay": 0.0}, "does not support dense gradients"),
        ("torch:SparseAdam", {}, "has no weight decay: it must be 0, got 0.0001"),
        ({"name": "torch:AdamW", "kwargs": {"betas": 1}}, {}, "torch:AdamW cannot be built with"),
        ("pytorch-optimizer:SAM", {}, "needs base_optimizer in kwargs; it wraps another"),
        ("timm:adahessian", {}, "does not resume bit for bit"),
        ("pytorch-optimizer:AdaHessian", {"precision": torch.float16}, "must be fp32 or bf16"),
        ("torch:RMSprop", {"lr": 1e30}, "infinite or NaN"),
    ],
    ids=str,
)
def test_check_refuses_in_one_line(check, optimizer, options, message):
    with pytest.raises(ValueError, match=message) as refused:
        check(optimizer, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("torch:AdmW", {}, "torch has no optimizer 'AdmW'; did you mean AdamW"),
        ("timm:loin", {}, "timm has no optimizer 'loin'; did you mean lion"),
        ("pytorch-optimizer:soap", {}, "did you mean SOAP"),
        ("torch:AdamW", {"beta": 1}, "no 'beta'; did you mean betas"),
        ("torch:AdamW", {"lr": 1}, "multiple values for keyword argument 'lr'"),
        ("pytorch-optimizer:AdaBelief", {"foo": 1}, "no 'foo'"),  # its constructor would ignore it
    ],
)
def test_driver_refuses_what_the_service_could_not_read(network, name, kwargs, message):
    """As stored by a service whose machine lacks the library."""
    section = FamilyOptimizer.model_validate({"name": name, "kwargs": kwargs}, context=STORED)
    with pytest.raises(ValueError, match=message):
        build_from_section(section, network, lr=1e-3, weight_decay=0.0)


def test_missing_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'sasam\[workers\]'"):
        optimizer_families.constructor_of("pytorch-optimizer", "SOAP")
    with pytest.raises(ValueError, match=r"not installed: pip install 'sasam\[workers\]'"):
        build_from_section(section_of("soap"), nn.Linear(3, 2), lr=1e-3, weight_decay=0.0)


@pytest.mark.parametrize("name", ["adamw", "asam", "torch:RMSprop", "timm:sgd", "prodigy"])
def test_absent_rates_are_the_optimizers_own(network, name):
    optimizer = build_from_section(section_of(name), network, lr=None, weight_decay=None)
    group = optimizer.param_groups[0]
    expected = {
        "adamw": (1e-3, 1e-2),
        "torch:RMSprop": (1e-2, 0.0),
        "prodigy": (1.0, 0.0),
    }.get(name, (1e-3, 0.0))
    assert (group["lr"], group["weight_decay"]) == expected


class _Forgetful(torch.optim.SGD):
    """Keeps its momentum where no state_dict sees it."""

    def __init__(self, model, lr, weight_decay):
        super().__init__(model.parameters(), lr=lr, weight_decay=weight_decay)
        self.velocities = [torch.zeros_like(p) for p in model.parameters()]

    def step(self, closure):
        loss = closure()
        for velocity, p in zip(self.velocities, self.param_groups[0]["params"], strict=True):
            p.grad = velocity.mul_(0.9).add_(p.grad)
        super().step()
        return loss


def test_check_refuses_a_plugin_that_forgets_its_state(check, monkeypatch):
    entry = optimizers.entry("adam")
    plugin = type(entry)("forgetful", "Forgetful", f"{__name__}:_Forgetful", "Forgets.", {})
    monkeypatch.setattr("workers.catalog.catalog._plugins", lambda group: {"forgetful": plugin})
    monkeypatch.setattr(type(optimizers), "load", lambda self, name, files: _Forgetful)
    with pytest.raises(ValueError, match="forgetful does not resume bit for bit"):
        check("forgetful")


def test_check_leaves_the_network_and_the_random_state(check, network):
    weights = [p.detach().clone() for p in network.parameters()]
    state = torch.get_rng_state()
    check("torch:RMSprop")
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, weights, network.parameters()))


def test_muon_orthogonalises_hidden_weights_alone(network):
    section = section_of("muon")
    optimizer = build_from_section(section, network, lr=1e-3, weight_decay=0.0)
    hidden, rest = optimizer.param_groups
    assert [p.shape for p in hidden["params"]] == [network[3].weight.shape]
    assert (hidden["use_muon"], hidden["nesterov"]) == (True, True)
    assert (rest["use_fallback"], rest["nesterov"]) == (True, False)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 8
    with pytest.raises(ValueError, match="the network has 1 layers with matrices"):
        build_from_section(section, nn.Linear(3, 2), lr=1e-3, weight_decay=0.0)


def test_sam_on_without_normalisation_layers_is_refused():
    with pytest.raises(ValueError, match="the network has none"):
        build_from_section(section_of("sam-on"), nn.Linear(3, 2), lr=1e-3, weight_decay=0.0)
