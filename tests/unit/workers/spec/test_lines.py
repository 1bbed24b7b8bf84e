"""Lines of problems in the text of a specification."""

from __future__ import annotations

import pytest

from workers.spec import SpecError, SpecProblem, load_spec
from workers.spec.lines import line_of

TEXT = """\
# A comment.
name: digits
dataset: {name: digits,
  train_size: -5}
model: cnn-tiny
optimizers:
  - sam
  - name: msgd
    momentum: 7
search:
  learning_rate: [0.1,
    -1]
  training.batch_size: [64, x]
"""


def test_every_problem_has_its_line() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(TEXT)
    lines = {problem.path: line_of(TEXT, problem) for problem in caught.value.problems}
    assert {"dataset.train_size": 4, "optimizers[1].momentum": 9}.items() <= lines.items()


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 2),
        ("optimizers[0]", 7),
        ("optimizers[1].momentum", 9),
        ("optimizers[1].nesterov", 8),
        ("optimizers[5]", 6),
        ("search.learning_rate[1]", 12),
        ("search.training.batch_size[1]", 13),
        ("training.epochs", None),
    ],
)
def test_path_leads_to_the_line_of_its_value(path: str, line: int | None) -> None:
    assert line_of(TEXT, SpecProblem(path, "is wrong", "1")) == line


def test_text_that_is_no_yaml_states_the_line() -> None:
    for text, line in (("name: x\nmodel: [", 2), ('{"name": 1,\n "name": 2}', None)):
        with pytest.raises(SpecError) as caught:
            load_spec(text)
        (problem,) = caught.value.problems
        assert line_of(text, problem) == line
    assert line_of("name: [", SpecProblem("name", "is wrong", "1")) is None
