"""YAML and JSON as text, and what is neither."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.spec import SpecError, load_spec, parse_spec, validate_spec

HEAD = "name: small\ndataset: digits\nmodel: cnn-tiny\noptimizers: [sam]\n"


def problem_of(text):
    with pytest.raises(SpecError) as caught:
        load_spec(text)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+2", 100.0),
        ("-2.5e3", -2500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("12", 12),
        ("-0", 0),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-11-25", "2026-11-25"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("'1e-4'", "1e-4"),
    ],
)
def test_parse_scalar_is_that_of_yaml_1_2(text, value):
    parsed = parse_spec(f"key: {text}")
    assert parsed == {"key": value}
    assert type(parsed["key"]) is type(value)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_parse_number_survives(number):
    for written in (repr(number), json.dumps(number)):
        parsed = parse_spec(f"key: {written}")["key"]
        assert parsed == number
        assert type(parsed) is type(number)


def test_load_json_equals_yaml():
    data = {
        "name": "small",
        "dataset": {"name": "digits"},
        "model": "cnn-tiny",
        "optimizers": ["sam", {"name": "adam", "label": "Adam"}],
        "search": {"learning_rate": [0.0001, 1]},
        "tags": {"owner": "Zoë 😀"},
    }
    spec = validate_spec(data)
    yaml_text = (
        "name: small\ndataset: {name: digits}\nmodel: cnn-tiny\n"
        "optimizers:\n  - sam\n  - {name: adam, label: Adam}\n"
        "search: {learning_rate: [1e-4, 1]}\ntags: {owner: Zoë 😀}\n"
    )
    assert load_spec(yaml_text) == spec
    assert load_spec(json.dumps(data)) == spec  # with surrogate pairs
    assert load_spec(json.dumps(data, indent="\t", ensure_ascii=False)) == spec
    assert load_spec("{name: small, dataset: digits, model: cnn-tiny, optimizers: [sam]}").name


@pytest.mark.parametrize(
    ("text", "message", "got"),
    [
        (
            f"{HEAD}name: other",
            "line 5, column 1: neither YAML nor JSON: the key 'name' st",
            "name",
        ),
        ('{"name": 1, "name": 2}', "the key 'name' stands twice", "{"),
        (f"{HEAD}training: {{epochs: 1, epochs: 2}}", "the key 'epochs' stands twice", "training"),
        ("a: &x 1\nb: *x", "line 2, column 4: neither YAML nor JSON: aliases are not", "b: *x"),
        ("a: &a [*a]", "aliases are not allowed", "a: &a [*a]"),
        ("? [a]\n: b", "a key must be text", "? [a]"),
        ("a: b: c", "line 1, column 5: neither YAML nor JSON: mapping values", "a: b: c"),
        ("name: [", "neither YAML nor JSON: expected the node content", "name: ["),
        ("a\n---\nb", "another document", "---"),
        ("a: !!python/object:os.system {}", "tags such as !!python/object:os.system", "a: !!py"),
        ("a: !!binary aGk=", "tags such as !!binary are not allowed", "a: !!bin"),
        ('a: !!int ""', "tags such as !!int are not allowed", "a: !!int"),
        ("a: !!bool maybe", "tags such as !!bool are not allowed", "a: !!bool"),
        ("a: !!timestamp x", "tags such as !!timestamp are not allowed", "a: !!time"),
        ("? !!set {b}\n: 1", "tags such as !!set are not allowed", "? !!set"),
        ("a: \0", "special characters are not allowed", "a: \\u0000"),
        ('{"a": 1', "neither YAML nor JSON", '{\\"a\\": 1'),
        (
            "a: " + "9" * 5_000,
            "line 1, column 4: neither YAML nor JSON: a whole number of 5,000 digits; at most 16",
            "a: 999",
        ),
        (
            '{"a": ' + "9" * 5_000 + "}",
            "a whole number of 5,000 digits; at most 16",
            '{\\"a\\": 999',
        ),
        ('{"' + "k" * 3_000 + '": 1, "' + "k" * 3_000 + '": 2}', "the key 'kkkk", "{"),
        ("[" * 2_000, "more than 50 levels", "[[["),
        ("a: " + "{b: " * 60 + "1" + "}" * 60, "more than 50 levels", "a: {b"),
        ('{"a":' * 10_000, "is nested too deeply", '{\\"a\\":'),
        ("x" * 200_001, "must have at most 200,000 characters", "200,001"),
        ("", "must be a mapping of sections", "null"),
        ("3", "must be a mapping of sections", "3"),
        ("[1, 2]", "must be a mapping of sections", "[1, 2]"),
    ],
)
def test_load_garbage_is_named(text, message, got):
    problem = problem_of(text)
    assert problem.path == ""
    assert message in problem.message
    assert problem.value.lstrip('"').startswith(got)
    assert len(problem.value) <= 80


def test_load_merge_key_is_unknown():
    problem = problem_of(f"{HEAD}<<: {{seeds: [1]}}")
    assert problem.path == "<<"
    assert problem.message.startswith("unknown key")


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(max_size=60))
def test_load_arbitrary_text_has_no_other_error(text):
    with pytest.raises(SpecError) as caught:
        load_spec(text)
    str(caught.value).encode()


def test_error_lists_its_problems_as_data():
    with pytest.raises(SpecError) as caught:
        load_spec(f"{HEAD}seeds: [-1]\npriority: 1e4")
    assert [problem.as_dict() for problem in caught.value.problems] == [
        {"path": "seeds[0]", "message": "must be at least 0", "value": "-1"},
        {"path": "priority", "message": "must be a whole number", "value": "10000.0"},
    ]
    assert str(caught.value) == (
        "seeds[0]: must be at least 0 (got -1); priority: must be a whole number (got 10000.0)"
    )
