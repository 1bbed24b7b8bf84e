from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers import catalog
from workers.catalog import Catalog, CatalogEntry, datasets, models, optimizers
from workers.metrics import METRICS, is_metric

ROOT = Path(__file__).parents[3]
PLUGINS = """
from workers.catalog import optimizers
from workers.spec import SpecError, TrialConfig, load_spec

assert optimizers.entry("tiger").target == "tiger_plugin:build"
assert optimizers.entry("tiger").summary == "From tiger-plugin."
assert optimizers.entry("sam").title == "SAM"  # a package cannot take a built-in name
assert optimizers.load("tiger")(3) == ("tiger", 3)
text = "name: a\\ndataset: digits\\nmodel: cnn-tiny\\noptimizers: [{name: tiger, kwargs: {b: 1}}]"
trial = load_spec(text).trials[0]
assert trial.optimizer.options() == {"b": 1}
assert TrialConfig.model_validate_json(trial.model_dump_json()) == trial
try:
    optimizers.load("broken")
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", [optimizers, models, datasets], ids=lambda kind: kind.kind)
def test_load_every_entry(kind):
    for name in kind.entries():
        assert callable(kind.load(f"{name}resnet18" if name.endswith(":") else name))
        assert kind.entry(name if name[-1] != ":" else f"{name}x").name == name
        assert kind.entries()[name].summary.endswith(".")


def test_require_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"unknown optimizer 'smgd'; did you mean msgd\?"):
        optimizers.require("smgd")
    with pytest.raises(
        ValueError, match=r"unknown model 'zzz' \(known: cnn-tiny, gpt, timm:<name>, "
    ):
        models.require("zzz")


def test_family_stands_for_all_its_members():
    assert models.require("timm:resnet18") == "timm:resnet18"
    assert models.title("timm:resnet18") == "timm:resnet18"
    assert models.title("vgg19") == "VGG-19"
    for name in ("timm:", "timm", "torchvision:resnet18"):
        with pytest.raises(ValueError, match="unknown model"):
            models.require(name)


def test_facts_of_a_member_are_those_of_its_family_and_its_own():
    assert optimizers.facts("torch:AdamW")["gradient_evaluations_per_step"] == 1
    assert optimizers.facts("torch:LBFGS")["gradient_evaluations_per_step"] == 20
    assert optimizers.facts("pytorch-optimizer:Prodigy")["learning_rate_role"] == "multiplier"
    assert optimizers.facts("prodigy")["learning_rate_role"] == "multiplier"
    assert "members" not in optimizers.facts("torch:AdamW")


@pytest.mark.parametrize("target", ["no_such_module:build", "json:no_such_name"])
def test_load_broken_entry_names_its_target(target):
    broken = Catalog("model", [CatalogEntry("broken", "Broken", target, "Broken.", {})])
    with pytest.raises(ValueError, match=f"model broken cannot be loaded from {target}: "):
        broken.load("broken")


@pytest.mark.slow
def test_entries_of_an_installed_package_join(tmp_path):
    """A distribution on the path, as pip leaves it, in a process that has not read any yet."""
    (tmp_path / "tiger_plugin.py").write_text("def build(x): return 'tiger', x\n")
    metadata = tmp_path / "tiger_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiger-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[sasam.optimizers]\ntiger = tiger_plugin:build\nsam = tiger_plugin:build\n"
        "broken = tiger_plugin:missing\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", PLUGINS],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "optimizer broken cannot be loaded from tiger_plugin:missing" in done.stdout


@pytest.mark.slow
def test_catalog_and_specification_import_no_torch():
    code = "import sys, workers.job, workers.journal; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_trial_actor_imports_no_torchvision():
    """Importing it takes seconds in each actor; RandAugment and timm's models do when used."""
    code = "import sys, workers.trainable; sys.exit(bool({'torchvision', 'timm'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_exports_are_what_the_module_defines():
    assert all(hasattr(catalog, name) for name in catalog.__all__)


def test_is_metric_looks_at_the_name_before_the_dot():
    assert all(is_metric(name) and is_metric(f"{name}.fog") for name in METRICS)
    assert not any(is_metric(name) for name in ("", "loss", "done", ".epoch", "ood_matrix"))
