"""Import and call of a user's own code."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from workers.catalog import datasets, models, optimizers
from workers.datasets import DamagedDataError, load_dataset
from workers.models import build_model
from workers.own_code.errors import CodeError
from workers.spec import ModelSpec

OPTIMIZER = """\
import torch
from .scale import SCALE

class MyOpt(torch.optim.SGD):
    def __init__(self, params, lr, momentum=0.0):
        if momentum < 0:
            raise KeyError("momentum")
        super().__init__(params, lr=lr * SCALE, momentum=momentum)

    def step(self, closure=None):
        return 1 / 0

def with_decay(model, lr, weight_decay, nesterov=False):
    options = {"weight_decay": weight_decay, "nesterov": nesterov}
    return torch.optim.SGD(model.parameters(), lr, 0.9, **options)

def number(model, lr): return 3

THREE = 3
"""
FILES = {"opt.py": OPTIMIZER, "scale.py": "SCALE = 2\n"}


@pytest.fixture
def network() -> nn.Module:
    return nn.Linear(2, 2)


def test_class_gets_parameters_and_function_the_network(network: nn.Module) -> None:
    made = optimizers.load("opt.py:MyOpt", FILES)(network, lr=0.1, weight_decay=0.0, momentum=0.5)
    assert made.param_groups[0]["lr"] == 0.2
    assert made.param_groups[0]["momentum"] == 0.5
    made = optimizers.load("opt.py:with_decay", FILES)(
        network, lr=0.1, weight_decay=0.3, nesterov=True
    )
    assert made.param_groups[0]["weight_decay"] == 0.3
    made = optimizers.load("torch.optim:AdamW")(network, lr=0.1, weight_decay=0.3)
    assert made.defaults["weight_decay"] == 0.3


def test_two_versions_of_a_file_live_in_one_process(network: nn.Module) -> None:
    versions = [FILES, FILES | {"scale.py": "SCALE = 3\n"}, FILES]
    classes = [
        type(optimizers.load("opt.py:MyOpt", files)(network, lr=1.0, weight_decay=0))
        for files in versions
    ]
    assert classes[0] is classes[2] is not classes[1]
    rates = [kind(network.parameters(), lr=1.0).defaults["lr"] for kind in classes]
    assert rates == [2.0, 3.0, 2.0]


def test_files_that_a_name_does_not_need_change_nothing() -> None:
    one = optimizers.load("opt.py:MyOpt", FILES)
    other = optimizers.load("opt.py:MyOpt", FILES | {"net.py": "x = 1"})
    assert (
        inspect.getclosurevars(one).nonlocals["code"]
        is (inspect.getclosurevars(other).nonlocals["code"])
    )


def test_traceback_and_source_show_the_users_lines(network: nn.Module) -> None:
    made = optimizers.load("opt.py:MyOpt", FILES)(network, lr=1.0, weight_decay=0)
    assert inspect.getsource(type(made)).startswith("class MyOpt(torch.optim.SGD):")
    try:
        made.step()
    except ZeroDivisionError:
        text = traceback.format_exc()
    assert '/opt.py", line 11, in step\n    return 1 / 0' in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n\nraise RuntimeError('it\\nbroke')", "code.py, line 3: RuntimeError: it broke"),
        ("x = 1\nreturn x", "code.py, line 2: SyntaxError: 'return' outside function"),
        ("import sys\nsys.exit(3)", "code.py, line 2: SystemExit: 3"),
        (
            "import no_such_package",
            "code.py, line 1: ModuleNotFoundError: No module named 'no_such_package'; install it "
            "on the nodes, or import another file of yours as .no_such_package",
        ),
    ],
)
def test_import_that_fails_is_one_line(source: str, message: str) -> None:
    with pytest.raises(CodeError) as caught:
        optimizers.load("code.py:build", {"code.py": source})
    assert str(caught.value) == f"cannot be imported: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("opt.py:Other", "opt.py defines no Other"),
        ("net.py:Net", "net.py is not among the files of the specification"),
        ("opt.py:THREE", "THREE is int, no optimizer: must be a subclass of torch.optim.Optimizer"),
        ("json.decoder:JSONDecoder", "JSONDecoder is the class JSONDecoder, no optimizer"),
        ("no_such_package.module:X", "cannot be imported: ModuleNotFoundError: .* on the nodes"),
    ],
)
def test_load_refuses_what_is_no_optimizer(name: str, message: str) -> None:
    with pytest.raises(CodeError, match=message):
        optimizers.load(name, FILES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("MyOpt", {"weight_decay": 0.1}, "MyOpt takes no weight_decay: must be 0, got 0.1"),
        ("MyOpt", {"momentum": -1}, "opt.py, line 7: KeyError: 'momentum'"),
        ("MyOpt", {"betas": 1}, r"TypeError: MyOpt.__init__\(\) got an unexpected .* 'betas'"),
        ("number", {}, "number returns int: must return a torch.optim.Optimizer"),
    ],
)
def test_build_refuses_in_one_line(
    name: str, options: dict[str, float], message: str, network: nn.Module
) -> None:
    with pytest.raises(CodeError, match=message):
        optimizers.load(f"opt.py:{name}", FILES)(network, lr=1.0, **options)


def test_import_leaves_the_generator_and_is_the_same_in_every_process() -> None:
    source = "import torch\nW = torch.randn(3)\n\ndef net(num_classes): pass\n"
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = torch.get_rng_state()
        factory = models.load("net.py:net", {"net.py": f"{source}# {seed}"})
        assert torch.equal(torch.get_rng_state(), expected)
        code = inspect.getclosurevars(factory).nonlocals["code"]
        drawn.append(code.__globals__["W"])
    assert torch.equal(*drawn)


def test_model_gets_the_arguments_that_it_takes() -> None:
    source = """\
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, image_size, width=3):
        super().__init__()
        self.layer = nn.Linear(image_size**2, num_classes * width)

def everything(**kwargs): return nn.Linear(kwargs["in_channels"], kwargs["num_classes"])

def nothing(): return "a string"
"""

    def build(name: str, **kwargs: int) -> nn.Module:
        section = ModelSpec(name=f"./net.py:{name}", kwargs=kwargs)
        shape = {"num_classes": 10, "in_channels": 1, "image_size": 8}
        return build_model(section, **shape, files={"net.py": source})

    assert build("Net", width=2).layer.weight.shape == (20, 64)
    assert build("everything").weight.shape == (10, 1)
    with pytest.raises(ValueError, match=r"nothing returns str: must return a torch\.nn\.Module"):
        build("nothing")
    with pytest.raises(ValueError, match=r"net\.py, line 6: TypeError: can't multiply|line 6"):
        build("Net", width=None)


def test_data_set_returns_arrays(tmp_path: Path) -> None:
    source = """\
import numpy as np

def squares(n=4, classes=2, data_dir=None):
    assert data_dir.is_dir()
    images = np.arange(n * 64, dtype=np.uint8).reshape(n, 8, 8, 1)
    labels = np.arange(n) % classes
    return images, labels, images + 1, labels

def broken(): raise OSError("gone")
def text(): return "images"
def floats(): return np.zeros((2, 8, 8, 1)), [0, 1], np.zeros((2, 8, 8, 1)), [0, 1]
"""

    def load(name: str, **options: int) -> object:
        return load_dataset(
            f"data.py:{name}", options=options, data_dir=tmp_path, files={"data.py": source}
        )

    found = load("squares", n=6, classes=3)
    assert found.train_images.shape == (6, 8, 8, 1)
    assert found.classes == ("0", "1", "2")
    assert np.array_equal(found.test_images, found.train_images + 1)
    for name, message in (
        (
            "broken",
            r"dataset\.name: data set data\.py:broken failed: data\.py, line 9: OSError: go",
        ),
        ("text", r"data set data\.py:text returned str; return arrays \(train images,"),
        ("floats", r"training images are float64 of shape .*; give uint8"),
    ):
        with pytest.raises(DamagedDataError, match=message):
            load(name)
    assert datasets.title("data.py:squares") == "squares"
