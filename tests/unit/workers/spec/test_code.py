"""A user's own code in a specification: names, files, keys, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workers.spec import SpecError, TrialConfig, load_spec, read_stored, validate_spec, with_files
from workers.spec.optimizer_facts import OptimizerFacts, facts_of_optimizer

OPTIMIZER = """\
import torch

from .scale import SCALE


class MyOpt(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr * SCALE)
"""
FILES = {"my_optimizer.py": OPTIMIZER, "scale.py": "SCALE = 2\n"}
MODEL = "from torch import nn\n\ndef tiny(num_classes): return nn.Linear(64, num_classes)\n"


def specification(**changes: Any) -> dict[str, Any]:
    """A sweep of two optimizers, one of them from a file."""
    return {
        "name": "own",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["./my_optimizer.py:MyOpt", "sam"],
        "search": {"learning_rate": [0.1], "weight_decay": [0]},
        "files": FILES,
    } | changes


def test_own_code_reaches_the_trials_that_need_it() -> None:
    spec = validate_spec(specification())
    own, built_in = spec.trials
    assert own.optimizer.name == own.optimizer_label == "my_optimizer.py:MyOpt"
    assert own.files == FILES
    assert built_in.files == {}
    assert TrialConfig.model_validate_json(own.model_dump_json()) == own
    assert read_stored(json.loads(spec.model_dump_json())) == spec


def test_key_depends_on_the_content_of_the_files_alone() -> None:
    own, built_in = validate_spec(specification()).trials
    plain = specification(optimizers=["sam"])
    del plain["files"]
    assert built_in.key == validate_spec(plain).trials[0].key == "a273fc571287d0c6"
    assert "files" not in built_in.model_dump()
    assert own.key == "bd8b2570106d7ab1"
    written = specification(optimizers=["my_optimizer.py:MyOpt"])
    assert validate_spec(written).trials[0].key == own.key
    for file in FILES:
        changed = FILES | {file: f"{FILES[file]}\n"}
        assert validate_spec(specification(files=changed)).trials[0].key != own.key


def test_describe_shows_digests_instead_of_sources() -> None:
    own, _ = validate_spec(specification()).trials
    described = {name: value for name, value in own.describe().items() if "files" in name}
    assert described == {
        "files.my_optimizer.py": "be1f0e37641ffd11",
        "files.scale.py": "7554b48bfb0de520",
    }


@pytest.mark.parametrize(
    ("changes", "path", "message", "value"),
    [
        (
            {"files": {}},
            "optimizers[0].name",
            "needs my_optimizer.py in files; `sasam submit` and the client send it",
            "my_optimizer.py:MyOpt",
        ),
        (
            {"optimizers": ["./my_optimizer.py:MyOp"]},
            "optimizers[0].name",
            "my_optimizer.py defines no MyOp; did you mean MyOpt? (defined: MyOpt, SCALE, torch)",
            "my_optimizer.py:MyOp",
        ),
        (
            {"model": "./my_optimizer.py:tiny"},
            "model.name",
            "my_optimizer.py defines no tiny",
            "my_optimizer.py:tiny",
        ),
        ({"dataset": "./data.py:make"}, "dataset.name", "needs data.py in files", "data.py:make"),
        (
            {"optimizers": ["sam"]},
            "files.my_optimizer.py",
            "is not needed: no optimizer, model or data set is named after it",
            "import torch",
        ),
        (
            {"files": FILES | {"other.py": "x = 1"}},
            "files.other.py",
            "is not needed",
            "x = 1",
        ),
        (
            {"files": {"my_optimizer.py": OPTIMIZER}},
            "files.my_optimizer.py",
            "line 3: imports scale.py, which is not in files",
            "from .scale import SCALE",
        ),
        (
            {"files": FILES | {"scale.py": "SCALE = 1\nSCALE = = 2\n"}},
            "files.scale.py",
            "line 2: is not Python: invalid syntax",
            "SCALE = = 2",
        ),
        (
            {"files": FILES | {"scale.py": "from ..other import x\n"}},
            "files.scale.py",
            "line 1: must import another file as .NAME: files have no folders",
            "from ..other import x",
        ),
        (
            {"files": FILES | {"scale.py": "x = 1\ny = '\u202e'\n"}},
            "files.scale.py",
            r"line 2: must be text without control characters such as \u202e",
            "x = 1",
        ),
        ({"files": FILES | {"scale.py": 3}}, "files.scale.py", "must be text", "3"),
        ({"files": [OPTIMIZER]}, "files", "must be a mapping", "import torch"),
        (
            {"files": FILES | {"scale.py": "x = 1\n" * 10_000}},
            "files.scale.py",
            "must have at most 50000 characters",
            "x = 1",
        ),
        (
            {"files": FILES | {f"f{n}.py": "x = 1" for n in range(19)}},
            "files",
            "must have at most 20 entries",
            "",
        ),
        (
            {"files": FILES | {"scale.py": f"SCALE = 2  # {'é' * 20_000}"}},
            "",
            "must have at most 100,000 characters as JSON; shorten files",
            "121,562",
        ),
        *(
            (
                {"files": FILES | {name: "x = 1"}},
                f"files.{name}",
                "must be the name of a Python file without a folder, such as my_optimizer.py",
                name,
            )
            for name in ("../scale.py", "a/scale.py", "scale.txt", "my-scale.py", ".py")
        ),
        *(
            (
                {"optimizers": [name, "./my_optimizer.py:MyOpt"]},
                "optimizers[0]",
                f"unknown optimizer '{name}'",
                name,
            )
            for name in (
                "../my_optimizer.py:MyOpt",
                "lib/my_optimizer.py:MyOpt",
                "my_optimizer.py",
                "my_optimizer:MyOpt",
                "my-optimizer.py:MyOpt",
                "package.my_optimizer.py:MyOpt",
                "package.module:my.Opt",
            )
        ),
    ],
)
def test_invalid_code_is_refused_with_path_and_value(
    changes: dict[str, Any], path: str, message: str, value: str
) -> None:
    with pytest.raises(SpecError) as caught:
        validate_spec(specification(**changes))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message
    assert value in problem.value
    assert "\n" not in str(problem)


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    from fast import MyOpt\nexcept ImportError:\n    MyOpt = None\n",
        "if True:\n    MyOpt: type = object\n",
        "for MyOpt in (1, 2): pass\n",
        "import torch.optim as MyOpt\n",
        "from torch.optim import *\n",
        "def __getattr__(name): return object\n",
        "with open('x') as (a, MyOpt): pass\n",
        "async def MyOpt(): pass\n",
    ],
)
def test_names_are_found_however_they_are_defined(source: str) -> None:
    validate_spec(specification(files={"my_optimizer.py": source}))


def test_modules_of_packages_need_no_file() -> None:
    spec = specification(optimizers=["torch.optim:NAdam"], model="package.models:Net")
    del spec["files"]
    trial = validate_spec(spec).trials[0]
    assert (trial.optimizer.name, trial.model.name, trial.files) == (
        "torch.optim:NAdam",
        "package.models:Net",
        {},
    )


def test_with_files_reads_them_from_the_folder(tmp_path: Path) -> None:
    for name, source in FILES.items():
        (tmp_path / name).write_text(source)
    (tmp_path / "my_model.py").write_text(MODEL)
    text = """
name: own
dataset: digits
model: {name: ./my_model.py:tiny}
optimizers: [{name: ./my_optimizer.py:MyOpt, label: mine}, my_optimizer.py:MyOpt, sam]
search: {learning_rate: [1e-1], weight_decay: [0]}
"""
    spec = load_spec(with_files(text, tmp_path).replace('"my_optimizer.py:MyOpt", ', ""))
    assert spec.files == FILES | {"my_model.py": MODEL}
    assert with_files(spec.model_dump_json(), Path("/nowhere")) == spec.model_dump_json()


@pytest.mark.parametrize("text", ["{name: ./a.py:X", "a.py:b", "files: [./a.py:X]"])
def test_with_files_leaves_what_the_service_explains(text: str, tmp_path: Path) -> None:
    assert with_files(text, tmp_path) == text


def test_with_files_names_what_it_cannot_read(tmp_path: Path) -> None:
    text = "model: ./net.py:Net"
    for content, problem in (
        (None, f"model: needs the file {tmp_path}/net.py: no such file or directory"),
        (b"\xff", f"model: needs the file {tmp_path}/net.py, which is not text in UTF-8"),
        (b"class Net(:", "files.net.py: line 1: is not Python: invalid syntax"),
        (b"from .a import b", f"files.net.py: needs the file {tmp_path}/a.py: no such file or"),
    ):
        if content is not None:
            (tmp_path / "net.py").write_bytes(content)
        with pytest.raises(SpecError) as caught:
            with_files(text, tmp_path)
        assert str(caught.value).startswith(problem)


DECLARED = """\
class MyOpt:
    title: str = "My optimizer"
    learning_rate_role = "multiplier"
    weight_decay = 0.1

def my_opt(model, lr): ...
my_opt.weight_decay = "decoupled"
other.title = "Not mine"
"""


def test_facts_of_an_own_optimizer_are_those_that_its_file_declares() -> None:
    names = ["own.py:MyOpt", "own.py:my_opt", "prodigy"]
    spec = validate_spec(specification(optimizers=names, files={"own.py": DECLARED}))
    of_class, of_function, built_in = (
        facts_of_optimizer(section, spec.files) for section in spec.optimizers
    )
    assert of_class == OptimizerFacts("My optimizer", "multiplier", None)
    assert of_function == OptimizerFacts("my_opt", "step_size", "decoupled")
    assert built_in == OptimizerFacts("Prodigy", "multiplier", "decoupled")


@pytest.mark.parametrize(
    ("fact", "value", "allowed"),
    [
        ("weight_decay", "couple", "'coupled' or 'decoupled' or 'exempting'"),
        ("learning_rate_role", "rate", "'step_size' or 'initial_step_size' or 'multiplier'"),
        ("title", "<b>", "1 to 63 letters"),
    ],
)
def test_declared_fact_with_another_value_is_refused(fact: str, value: str, allowed: str) -> None:
    source = f"class MyOpt:\n    {fact} = {value!r}\n"
    with pytest.raises(SpecError) as caught:
        validate_spec(specification(optimizers=["own.py:MyOpt"], files={"own.py": source}))
    (problem,) = caught.value.problems
    assert problem.path == "files.own.py"
    assert problem.message.startswith(f"line 2: {fact} of MyOpt must be ")
    assert allowed in problem.message
    assert problem.value == f'"{value}"'
