"""YAML and JSON as text, and what is neither."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.job import DriverJob
from workers.spec import (
    SpecError,
    TrialConfig,
    load_spec,
    parse_spec,
    read_stored,
    validate_spec,
)

NARROW = {"low": 1.0, "high": 1.001}
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("search", "learning_rate"), [1e-35, 0.1]),
        (("search", "weight_decay"), [1e31]),
        (
            ("search",),
            {"type": "random", "trials": 3, "learning_rate": {"low": 1.0, "high": 1.001}},
        ),
        (("model", "kwargs"), {"note": "first\nsecond"}),
        (("model", "kwargs"), {"note": "x" * 5_000}),
        (("training", "warmup_epochs"), 100_001),
        (("training", "gradient_clipping"), 1e-35),
        (("dataset", "train_size"), 10**10),
        (("resources",), {"cpu": 0.0, "gpu": 0.0}),
        (("resources",), {"gpu": 2_000.0}),
        (("resources",), {"cpu": 1e-5}),
        (("tags",), {"note": "a\nb"}),
    ],
    ids=repr,
)
def test_stored_specification_beyond_later_bounds_is_read_as_it_is(changed, path, value):
    data = changed((path, value), (("training", "epochs"), 200_000))
    with pytest.raises(SpecError):
        validate_spec(data)
    stored = read_stored(data)
    found = stored.model_dump(mode="json")
    for part in path:
        found = found[part]
    if isinstance(value, dict):
        assert value.items() <= found.items() or found["learning_rate"]["high"] == 1.001
    else:
        assert found == value
    assert len({trial.key for trial in stored.trials}) == stored.trial_count
    # A driver and a trial of a retried sweep read it again.
    job = DriverJob(
        sweep_id="0" * 12,
        attempt=2,
        specification=stored,
        mlflow_tracking_uri="http://127.0.0.1:1",
        storage_path="storage",
        scratch_path="scratch",
        data_dir="data",
    )
    assert DriverJob.parse(job.model_dump_json()).specification == stored
    trial = stored.trials[0]
    assert TrialConfig.of_accepted_sweep(trial.model_dump(mode="json")) == trial


def test_stored_valid_specification_has_the_same_trials(changed):
    data = changed((("search", "weight_decay"), [0, 1e-4]))
    expected = validate_spec(data)
    assert read_stored(expected.model_dump(mode="json")) == expected
    assert read_stored(data).trials == expected.trials


@pytest.mark.parametrize(
    ("path", "value"),
    [(("optimizers",), ["of-a-package"]), (("training", "epochs"), "ten"), (("new",), 1)],
    ids=repr,
)
def test_stored_specification_that_cannot_be_read_names_the_place(changed, path, value):
    with pytest.raises(SpecError) as error:
        read_stored(changed((path, value)))
    assert str(path[-1]) in error.value.problems[0].path
