from __future__ import annotations

import dataclasses
import json
import math
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn
from torch.nn import functional as F

from workers.spec import SpecError, validate_spec
from workers.training import preflight, run_trial
from workers.training.rehearsal import rehearse


def problems(spec, data_dir):
    with pytest.raises(SpecError) as error:
        preflight(validate_spec(spec), data_dir=data_dir, cache_dir=data_dir / "cache")
    return {problem.path: problem.message for problem in error.value.problems}


@pytest.mark.slow
def test_preflight_good_specification_returns_facts(spec_dict, data_dir):
    facts = preflight(validate_spec(spec_dict), data_dir=data_dir, cache_dir=data_dir / "cache")
    assert facts.parameters == 9 * 4 + 8 + 9 * 4 * 8 + 16 + 32 * 10 + 10
    assert (facts.train_images, facts.validation_images) == (256, 100)
    assert facts.ood_images == 15 * 2 * 20
    assert facts.trial_memory_bytes > 64 * (256 + 64) * 4
    assert facts.tags() == {
        "sasam.hessian_method": "exact",
        "sasam.parameters": str(facts.parameters),
        "sasam.train_images": "256",
        "sasam.validation_images": "100",
        "sasam.ood_images": "600",
        "sasam.classes": "10",
        "sasam.data_fingerprint": facts.data_fingerprint,
        "sasam.data_notes": "; ".join(facts.data_notes),
        "sasam.trial_memory_bytes": str(facts.trial_memory_bytes),
        **{f"sasam.optimizer.{n}": tag for n, tag in enumerate(optimizer_tags(facts))},
    }
    assert facts.optimizers["sa-sam"].gradient_evaluations == 3
    assert json.loads(facts.tags()["sasam.optimizer.4"]) == {
        "label": "adam",
        "gradient_evaluations": 1,
        "weight_decay": "coupled",
        "default_learning_rate": 1e-3,
        "default_weight_decay": 0.0,
    }


def optimizer_tags(facts):
    return [
        json.dumps({"label": label, **dataclasses.asdict(found)})
        for label, found in facts.optimizers.items()
    ]


@pytest.mark.parametrize(
    ("section", "change", "path", "message"),
    [
        ("training", {"batch_size": 257}, "training.batch_size", "at most the 256 training images"),
        ("dataset", {"train_size": 1298}, "dataset.train_size", "1 to 1297"),
        ("ood", {"images": 501}, "ood.images", "1 to 500"),
        ("model", {"name": "vgg19", "kwargs": {}}, "model", "at least 32x32 pixels, got 8"),
        ("model", {"name": "timm:resnte18", "kwargs": {}}, "model", "did you mean"),
        ("model", {"name": "timm:resnet18", "kwargs": {"depht": 1}}, "model", "depht"),
    ],
)
def test_preflight_impossible_specification_names_its_key(
    spec_dict, data_dir, section, change, path, message
):
    spec_dict[section] |= change
    assert message in problems(spec_dict, data_dir)[path]


def test_preflight_too_little_memory_names_the_batch(spec_dict, data_dir, monkeypatch):
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 5}.__getitem__)
    message = problems(spec_dict, data_dir)["training.batch_size"]
    assert "make batches or the network smaller" in message


def test_preflight_missing_data_names_the_data_set(spec_dict, data_dir):
    spec_dict["dataset"] = {"name": "cifar10"}
    assert "dataset.name" in problems(spec_dict, data_dir)


def test_preflight_refused_optimizer_option_names_its_position(spec_dict, data_dir):
    spec_dict["optimizers"] = ["msgd", {"name": "sa-sgd", "max_lr": 1e-6}]
    assert "max_lr" in problems(spec_dict, data_dir)["optimizers[1]"]


@pytest.mark.slow
def test_preflight_nesterov_without_momentum_is_found(spec_dict, data_dir):
    spec_dict["optimizers"] = [{"name": "msgd", "momentum": 0.0, "nesterov": True}]
    assert "esterov" in problems(spec_dict, data_dir)["optimizers[0]"]


@pytest.mark.slow
def test_preflight_checks_optimizers_that_are_not_built_in(spec_dict, data_dir, caplog):
    caplog.set_level("INFO")
    spec_dict["optimizers"] = [
        "adamw",
        {"name": "torch:RMSprop", "kwargs": {"momentum": 0.9}, "label": "RMS"},
        {"name": "asam", "base": "timm:lion"},
    ]
    spec_dict["search"] = {"learning_rate": [1e30, 0.01], "weight_decay": [0.0]}  # one diverges
    facts = preflight(validate_spec(spec_dict), data_dir=data_dir, cache_dir=data_dir / "cache")
    assert list(facts.optimizers) == ["adamw", "RMS", "asam"]
    assert facts.optimizers["RMS"].weight_decay == "coupled"
    assert facts.optimizers["asam"].gradient_evaluations == 2
    assert facts.optimizers["asam"].weight_decay == "decoupled"
    assert (
        "optimizer RMS: 1 gradient evaluation per step, coupled weight decay, resumes bit for bit, "
        "default learning rate 0.01, default weight decay 0"
    ) in caplog.messages


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("torch:Muon", "Muon only supports 2D parameters"),
        ("timm:adahessian", "does not resume bit for bit"),
        ({"name": "sam", "base": "torch:Muon"}, "Muon only supports 2D parameters"),
        ({"name": "torch:SGD", "kwargs": {"nesterov": True}}, "Nesterov momentum requires"),
    ],
    ids=str,
)
def test_preflight_refuses_an_optimizer_that_cannot_be_used(
    spec_dict, data_dir, optimizer, message
):
    spec_dict["optimizers"] = ["msgd", optimizer]
    assert message in problems(spec_dict, data_dir)["optimizers[1]"]


@pytest.mark.slow
def test_preflight_of_a_search_tries_the_largest_numbers(spec_dict, data_dir):
    spec_dict["search"] = {"type": "tpe", "trials": 3}
    assert preflight(validate_spec(spec_dict), data_dir=data_dir, cache_dir=data_dir / "cache")
    spec_dict["optimizers"] = ["msgd", {"name": "sa-sgd", "max_lr": 1e-6}]
    assert "max_lr" in problems(spec_dict, data_dir)["optimizers[1]"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("search", "path", "message"),
    [
        ({"training.batch_size": [64, 257]}, "training.batch_size[1]", "at most the 256 training"),
        ({"dataset.train_size": [256, 32]}, "training.batch_size", "at most the 32 training"),
        ({"dataset.train_size": [256, 1298]}, "dataset.train_size[1]", "1 to 1297"),
        ({"model.kwargs.width": [4, 10**9]}, "model.kwargs.width[1]", "too large"),
        ({"model.kwargs.width": [4, "x"]}, "model.kwargs.width[1]", "x"),
    ],
)
def test_preflight_names_the_value_of_the_axis_that_cannot_run(
    spec_dict, data_dir, search, path, message
):
    spec_dict["search"] |= search
    found = problems(spec_dict, data_dir)
    where = path if path == "training.batch_size" else f"search.{path}"
    assert message in found[where]


def test_preflight_names_the_largest_batch_where_memory_is_too_little(
    spec_dict, data_dir, monkeypatch
):
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 5}.__getitem__)
    spec_dict["search"] |= {"training.batch_size": [32, 64, 48]}
    assert "make batches" in problems(spec_dict, data_dir)["search.training.batch_size[1]"]


@pytest.mark.slow
def test_preflight_of_several_networks_takes_the_facts_of_the_largest(spec_dict, data_dir):
    def facts(search):
        spec = validate_spec(spec_dict | {"search": spec_dict["search"] | search})
        return preflight(spec, data_dir=data_dir, cache_dir=data_dir / "cache")

    several = facts({"model.kwargs.width": [8, 4], "dataset.train_size": [128, 200]})
    assert several.parameters == facts({"model.kwargs.width": [8]}).parameters
    assert several.train_images == 200
    sampled = {
        "type": "tpe",
        "trials": 3,
        "model.kwargs.width": {"low": 4, "high": 8, "whole": True},
    }
    spec_dict["search"] = {}
    assert facts(sampled).parameters == several.parameters


@pytest.mark.parametrize("path", ["photos", "nowhere", "{}/photos", ".", "/etc", "broken"])
def test_refused_image_folder_does_not_reveal_where_the_data_lies(
    spec_dict: dict[str, Any], tmp_path: Path, path: str
) -> None:
    data_dir = tmp_path / "secret-place"
    (data_dir / "photos" / "cats").mkdir(parents=True)
    for name in ("cats", "dogs"):
        (data_dir / "broken" / name).mkdir(parents=True)
        for number in range(20):
            (data_dir / "broken" / name / f"{number}.png").write_bytes(b"no image")
    spec_dict["dataset"] = {
        "name": "image-folder",
        "kwargs": {"path": path.format("/".join(("", "nowhere")))},
    }
    with pytest.raises(SpecError) as refused:
        preflight(validate_spec(spec_dict), data_dir=data_dir, cache_dir=data_dir / "cache")
    assert "secret-place" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_data_set_does_not_reveal_where_the_data_lies(
    spec_dict: dict[str, Any], tmp_path: Path, name: str
) -> None:
    spec_dict["dataset"] = name
    with pytest.raises(SpecError, match=r"is not there.*into the data folder") as refused:
        preflight(validate_spec(spec_dict), data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    "kwargs", [{"width": 10**5}, {"width": 10**9}, {"width": 2**53 - 1}], ids=str
)
def test_preflight_network_beyond_any_machine_is_refused_without_being_built(
    spec_dict, data_dir, kwargs
):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spec_dict["model"] = {"name": "cnn-tiny", "kwargs": kwargs}
    message = problems(spec_dict, data_dir)["model"]
    assert "too large" in message or "a trial needs at least" in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # 1 GiB


@pytest.mark.slow
def test_preflight_network_of_endless_depth_is_refused(spec_dict, data_dir, tmp_path):
    spec_dict["model"] = {
        "name": "vit-small",
        "kwargs": {"dim": 4, "heads": 1, "mlp_dim": 4, "depth": 10**9},
    }
    assert "more than 10,000 tensors" in problems(spec_dict, data_dir)["model"]


def test_preflight_asks_for_the_largest_node_where_this_machine_is_too_small(
    spec_dict, data_dir, monkeypatch
):
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 5}.__getitem__)
    spec = validate_spec(spec_dict)
    folders = {"data_dir": data_dir, "cache_dir": data_dir / "cache"}
    assert preflight(spec, **folders, largest_node_bytes=lambda: 1e9).parameters
    with pytest.raises(SpecError, match="a trial needs at least"):
        preflight(spec, **folders, largest_node_bytes=lambda: 1e4)


def write_photos(folder, images_each=80):
    generator = np.random.default_rng(0)
    for label in range(10):
        (folder / f"class {label}").mkdir(parents=True)
        for number in range(images_each):
            image = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8))
            image.save(folder / f"class {label}" / f"{number}.png")
    (folder / "class 0" / "notes.txt").write_text("no image")


@pytest.mark.slow
def test_preflight_notes_of_the_data_are_a_fact_and_logged(spec_dict, tmp_path, caplog):
    write_photos(tmp_path / "photos")
    spec_dict["dataset"] = {
        "name": "image-folder",
        "kwargs": {"path": "photos", "image_size": 8, "channels": 1},
    }
    spec_dict.pop("ood", None)
    facts = preflight(validate_spec(spec_dict), data_dir=tmp_path, cache_dir=tmp_path / "cache")
    note = "left out: 1 file that is no image (1 .txt)"
    assert facts.data_notes == (note,)
    assert f"data set image-folder: {note}" in caplog.messages


def test_preflight_broken_link_in_a_folder_is_a_problem_of_the_specification(spec_dict, tmp_path):
    write_photos(tmp_path / "photos", 2)
    (tmp_path / "photos" / "class 3" / "gone.png").symlink_to("nowhere.png")
    spec_dict["dataset"] = {"name": "image-folder", "kwargs": {"path": "photos"}}
    message = problems(spec_dict, tmp_path)["dataset.kwargs.path"]
    assert message == "photos/class 3/gone.png is a link that leads nowhere; mend or remove it"


@pytest.fixture
def hard_spec(spec_dict):
    """A sweep of a network without a second derivative in torch."""
    spec_dict["model"] = {"name": "timm:mobilenetv3_small_050", "kwargs": {}}
    spec_dict["training"] |= {"epochs": 1, "batch_size": 128}
    spec_dict["curvature"] = {"images": 10, "splits": ["validation"], "max_matvecs": 3}
    return spec_dict


@pytest.mark.slow
def test_preflight_network_without_a_second_derivative_is_measured_by_differences(
    hard_spec, data_dir, device_data
):
    spec = validate_spec(hard_spec | {"optimizers": ["msgd"], "ood": None})
    facts = preflight(spec, data_dir=data_dir, cache_dir=data_dir / "cache")
    assert facts.hessian_method == "differences"
    (record,) = run_trial(spec.trials[0], device_data)
    assert record["outcome"] == "completed"
    assert record["hessian_by_differences.validation"] == 1
    assert math.isfinite(record["hessian_trace.validation"])


@pytest.mark.slow
def test_network_that_begins_with_a_strided_convolution_of_pixels_trains(
    hard_spec, data_dir, device_data
):
    # With the channels last its weight gradient overwrites memory, which ends the process.
    hard_spec |= {"model": {"name": "timm:repvgg_a0"}, "optimizers": ["msgd"], "ood": None}
    spec = validate_spec(hard_spec | {"curvature": None})
    preflight(spec, data_dir=data_dir, cache_dir=data_dir / "cache")
    (record,) = run_trial(spec.trials[0], device_data)
    assert record["outcome"] == "completed"


def test_preflight_says_that_the_hessian_is_exact_or_not_measured(spec_dict, data_dir):
    where = {"data_dir": data_dir, "cache_dir": data_dir / "cache"}
    assert preflight(validate_spec(spec_dict), **where).hessian_method == "exact"
    without = preflight(validate_spec(spec_dict | {"curvature": None}), **where)
    assert without.hessian_method is None
    assert "sasam.hessian_method" not in without.tags()


class _Spoilt(nn.Module):
    """A linear classifier that cannot do one thing."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.linear = nn.Linear(64, 10)
        self.kept = None

    def forward(self, images):
        if self.fault == "train" and self.training:
            return self.linear(images.flatten(1)).detach()
        if self.fault == "evaluate" and not self.training:
            return (self.linear(images.flatten(1)),)
        if self.fault == "differentiate" and not self.training:
            self.kept = self.linear.weight.clone() if self.kept is None else self.kept
            return F.linear(images.flatten(1), self.kept, self.linear.bias)
        if self.fault == "repeat" and not self.training:
            return self.linear(F.dropout(images.flatten(1), training=True))
        return self.linear(images.flatten(1))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("train", "cannot be trained on images of 1 x 8 x 8"),
        ("evaluate", "cannot be evaluated on images of 1 x 8 x 8: it returns tuple"),
        ("differentiate", "cannot have its curvature measured"),
        ("repeat", "cannot have its curvature measured"),
    ],
)
def test_rehearse_network_that_cannot_is_refused_with_what(fault, message, device_data):
    with pytest.raises(ValueError, match=message):
        rehearse(_Spoilt(fault), device_data.host, channels_last=True, measures_curvature=True)
    sound = _Spoilt(None)
    method = rehearse(sound, device_data.host, channels_last=True, measures_curvature=True)
    assert method == "exact"
