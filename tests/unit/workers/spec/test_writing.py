"""Specifications written as YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from workers.spec import validate_spec
from workers.spec.writing import with_setting, without_defaults, yaml_text

BASE = {
    "name": "written",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": ["msgd"],
    "search": {"learning_rate": [0.1], "weight_decay": [0]},
}
ASHA = {"early_stopping": {"type": "asha", "metric": "val_accuracy"}, "training": {"epochs": 20}}
TPE = {"search": {"type": "tpe", "trials": 3, "objectives": ["val_accuracy"]}}


@pytest.mark.parametrize("score", ["accuracy", "loss"])
@pytest.mark.parametrize("changes", [{}, ASHA, TPE])
def test_written_specification_is_the_same(score: str, changes: dict[str, Any]) -> None:
    specification = validate_spec({**BASE, **changes, "score": score})
    text = yaml_text(without_defaults(specification), "a comment")
    assert text.startswith("# a comment\n")
    assert validate_spec(yaml.safe_load(text)) == specification


def test_defaults_are_left_out() -> None:
    assert without_defaults(validate_spec(BASE)).keys() == BASE.keys()


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\nname: a\nseeds:\n- 0  # the first\n",
        "name: a",
        '{"name": "a"}',
        "{name: a, seeds: [0]}",
        "name: a\nreuse: false\n",
        "name: a\n...\n",
        "name: |\n  a\n  b",
    ],
)
def test_setting_is_added_to_the_text_of_a_specification(text: str) -> None:
    changed = with_setting(text, "reuse", True)
    assert yaml.safe_load(changed) == yaml.safe_load(text) | {"reuse": True}
    assert with_setting(changed, "reuse", True) == changed


def test_comments_stay_when_a_setting_is_added() -> None:
    text = "# a comment\nname: a\n"
    assert with_setting(text, "reuse", True) == f"{text}reuse: true\n"


@pytest.mark.parametrize("text", ["name: [", "- a", "", "name: *a"])
def test_text_that_is_no_specification_stays(text: str) -> None:
    assert with_setting(text, "reuse", True) == text
