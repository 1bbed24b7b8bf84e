"""Sections of optimizers: families, base optimizers, and what keeps trial keys as they were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers import optimizer_families
from workers.catalog import optimizers
from workers.spec import SpecError, TrialConfig, validate_spec
from workers.spec.library_signatures import FAMILIES, known_members, known_options
from workers.spec.loading import read_stored
from workers.spec.optimizers import VARIANTS

ROOT = Path(__file__).parents[4]
BUILT_IN = [name for name in VARIANTS if name not in ("family", "plugin")]


def data(*listed):
    return {"name": "a", "dataset": "digits", "model": "cnn-tiny", "optimizers": list(listed)}


def test_every_built_in_optimizer_is_in_catalog_and_variants():
    names = [name for name in optimizers.entries() if not name.endswith(":")]
    assert sorted(names) == sorted(BUILT_IN)


@pytest.mark.parametrize("name", [*BUILT_IN, "torch:RMSprop"])
def test_trial_survives_a_round_trip(name):
    trial = validate_spec(data(name)).trials[0]
    assert TrialConfig.model_validate_json(trial.model_dump_json()) == trial


def test_new_options_are_left_out_of_keys_at_their_default():
    plain = validate_spec(data("sam")).trials[0]
    assert plain.model_dump()["optimizer"].keys() == {"name", "label", "rho", "momentum"}
    keys = {
        validate_spec(data(optimizer)).trials[0].key
        for optimizer in (
            "sam",
            {"name": "sam", "exempt_vectors": True},
            {"name": "sam", "base": "msgd"},
            {"name": "sam", "base": {"name": "msgd", "exempt_vectors": True}},
        )
    }
    assert len(keys) == 4
    assert plain.key in keys


@pytest.mark.parametrize(
    ("optimizer", "path", "message"),
    [
        ("adamx", "optimizers[0].name", "unknown optimizer 'adamx'; did you mean adam"),
        ("adam_w", "optimizers[0].name", "did you mean adamw"),
        ("torch:AdmW", "optimizers[0].name", "torch has no optimizer 'AdmW'; did you mean AdamW"),
        ("timm:loin", "optimizers[0].name", "timm has no optimizer 'loin'; did you mean lion"),
        ("pytorch-optimizer:soap", "optimizers[0].name", "did you mean SOAP"),
        ("torch:", "optimizers[0].name", "unknown optimizer 'torch:'"),
        (
            {"name": "torch:AdamW", "kwargs": {"beta": [0.9, 0.9]}},
            "optimizers[0].kwargs.beta",
            "unknown keyword of torch:AdamW; did you mean betas? (known: betas, eps, ",
        ),
        (
            {"name": "timm:lion", "kwargs": {"lr": 1}},
            "optimizers[0].kwargs.lr",
            "unknown keyword of timm:lion",
        ),
        ({"name": "asam", "base": "sa-sam"}, "optimizers[0].base", "must be one of msgd, adam, "),
        ({"name": "asam", "base": 5}, "optimizers[0].base", "must be one of msgd, adam, "),
        (
            {"name": "asam", "base": {"name": "adamw", "beta": 1}},
            "optimizers[0].base.beta",
            "unknown key; did you mean betas",
        ),
        (
            {"name": "asam", "base": {"name": "adamw", "label": "x"}},
            "optimizers[0].base.label",
            "must be absent: the whole has the label",
        ),
        (
            {"name": "sam", "base": "adamw", "momentum": 0.5},
            "optimizers[0].momentum",
            "must be an option of base",
        ),
        ({"name": "looksam", "k": 0}, "optimizers[0].k", "must be at least 1"),
        ({"name": "asam", "rho": -1.0}, "optimizers[0].rho", "must be above 0"),
    ],
    ids=str,
)
def test_invalid_optimizer_is_refused_with_its_path(optimizer, path, message):
    with pytest.raises(SpecError) as refused:
        validate_spec(data(optimizer))
    (problem,) = refused.value.problems
    assert problem.path in (path, path.removesuffix(".name"))
    assert message in problem.message


def test_stored_specification_of_another_version_of_a_library_is_read():
    stored = validate_spec(data("torch:RMSprop")).model_dump(mode="json")
    stored["optimizers"] = [{"name": "torch:Gone", "kwargs": {"old": 1}}]
    assert read_stored(stored).optimizers[0].options() == {"old": 1}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_options_read_from_sources_are_those_of_the_library(family):
    known = known_members(family)
    assert list(known) == sorted(optimizer_families.member_names(family))
    for member in known:
        constructor = optimizer_families.constructor_of(family, member)
        assert known_options(family, member) == tuple(optimizer_families.options_of(constructor))


@pytest.mark.slow
def test_family_of_a_library_that_is_not_installed_is_left_to_the_driver():
    code = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "timm" else real(name, *rest)
from workers.spec import validate_spec
text = {"name": "a", "dataset": "digits", "model": "cnn-tiny"}
validate_spec(text | {"optimizers": [{"name": "timm:anything", "kwargs": {"x": 1}}]})
validate_spec(text | {"optimizers": [{"name": "torch:AdamW", "kwargs": {"betas": [0.9, 0.9]}}]})
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("optimizer", "kind", "evaluations"),
    [
        ("adamw", "decoupled", 1),
        ("asam", "coupled", 2),
        ({"name": "asam", "base": "adamw"}, "decoupled", 2),
        ({"name": "adamw", "exempt_vectors": True}, "exempting", 1),
        ({"name": "sam", "base": {"name": "lion", "exempt_vectors": True}}, "exempting", 2),
        ({"name": "looksam", "k": 4}, "coupled", 1.25),
        ("torch:LBFGS", None, 20),
        ("torch:RMSprop", None, 1),
    ],
    ids=str,
)
def test_section_states_weight_decay_and_cost(optimizer, kind, evaluations):
    section = validate_spec(data(optimizer)).optimizers[0]
    assert section.weight_decay_kind == kind
    assert section.gradient_evaluations_per_step == evaluations


def test_option_names_are_what_a_search_may_vary():
    names = [
        section.option_names for section in validate_spec(data("msgd", "torch:SGD")).optimizers
    ]
    assert names[0] == ("exempt_vectors", "momentum", "nesterov")
    assert "momentum" in names[1]
    assert not {"lr", "weight_decay", "params"} & set(names[1])
