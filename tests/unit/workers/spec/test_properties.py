"""Whatever a specification holds, it is valid or refused with named problems, soon and cheaply."""

from __future__ import annotations

import json
import resource
from datetime import date, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workers.characters import find_control
from workers.spec import SpecError, SpecProblem, SweepSpec, load_spec, validate_spec

SOON = timedelta(seconds=5)
SLOW_INPUTS = [HealthCheck.too_slow, HealthCheck.data_too_large]

FULL = validate_spec(
    {
        "name": "full",
        "dataset": {"name": "digits", "kwargs": {}},
        "model": {"name": "cnn-tiny", "kwargs": {"width": 4}},
        "optimizers": ["sam", "adam", {"name": "sa-sam", "delta": 0.02}],
        "early_stopping": {"type": "asha"},
        "tags": {"owner": "me"},
        "limits": {"wall_clock": "1h"},
    }
).model_dump(mode="json")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            *(10**9, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 10**4_001),
            *(0, -1, -0.0, 5e-324, 1e-40, 1e30, 1e308, 0.00001, 0.0001, 1.00001, 16777217),
            *("a" * 50_000, "timm:" + "a" * 50_000, "\x1b[31m", "\x07", "\x9b", "\x7f", "\ud800"),
            *("\u202e", "\u2028", "\ufeff", "a\nb", "\0", "", " ", "__class__", "\U000e0041"),
            *("all", "end", "sqrt-lr", "sam", "cnn-tiny", "digits", "timm:", "9" * 6 + "d"),
            *(b"bytes", date(2026, 1, 1), {1, 2}, 1j, (1, 2), object),
        ]
    )
)
KEYS = st.text(max_size=8) | st.sampled_from(
    [1, 1.5, None, True, float("nan"), 10**4_001, "k" * 5_000, "\x1b", "a.b", "[0]", "\ud800", "<<"]
)
NESTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


def places(data: Any, way: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    """Every place of a nest of mappings and lists."""
    found = [way] if way else []
    if isinstance(data, dict | list):
        for key, child in data.items() if isinstance(data, dict) else enumerate(data):
            found += places(child, (*way, key))
    return found


@st.composite
def specifications(draw: st.DrawFn) -> dict[Any, Any]:
    """The full specification with a few values replaced, keys added and keys dropped."""
    data = json.loads(json.dumps(FULL))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(data)))
        owner = data
        for part in way:
            owner = owner[part]
        action = draw(st.sampled_from(["replace", "replace", "add", "drop"]))
        if action == "replace" or not isinstance(owner, dict):
            owner[last] = draw(NESTS)
        elif action == "add":
            owner[draw(KEYS)] = draw(NESTS)
        else:
            del owner[last]
        if not data:
            break
    return data


def outcome(load: Any, source: Any) -> SweepSpec | None:
    """Load a specification; check that it is sound, or that its problems are."""
    problems: list[SpecProblem] = []
    try:
        spec = load(source)
    except SpecError as error:
        problems = error.problems
        spec = None
    if spec is None:
        assert problems
        for problem in problems:
            assert len(problem.path) <= 80
            assert len(problem.value) <= 80
            assert 0 < len(problem.message) <= 1_000
            assert find_control(str(problem)) is None
            str(problem).encode()
        return None
    text = spec.model_dump_json()
    assert len(json.dumps(text)) <= 100_000
    assert spec.trial_count <= 100_000
    again = SweepSpec.model_validate_json(text)
    assert again == spec
    assert load_spec(text) == spec
    trial = (spec.trials or spec.corners)[0]
    assert len(trial.key) == 16
    assert all(len(str(value)) <= 6_000 for value in trial.describe().values())
    return spec


def test_full_specification_is_valid():
    assert outcome(validate_spec, FULL) is not None


@pytest.mark.slow
@settings(deadline=SOON, max_examples=300, suppress_health_check=SLOW_INPUTS)
@given(specifications())
def test_validate_changed_specification_is_valid_or_named(data):
    outcome(validate_spec, data)


@pytest.mark.slow
@settings(deadline=SOON, max_examples=100, suppress_health_check=SLOW_INPUTS)
@given(specifications())
def test_load_changed_specification_as_text_is_valid_or_named(data):
    """As YAML with whatever tags PyYAML writes for Python values, and as JSON where it can be."""
    for dump in (lambda value: yaml.dump(value, allow_unicode=True), yaml.dump, json.dumps):
        try:
            text = dump(data)
        except (TypeError, ValueError, yaml.YAMLError):
            continue
        outcome(load_spec, text)


FRAGMENTS = [
    *(".inf", "-.inf", ".nan", "1e400", "9" * 4_000, "-" + "9" * 4_500, "0x1F", "1_000", "1:30"),
    *("2026-01-01", "2026-01-01T00:00:00Z", "!!timestamp 2026-01-01", "!!timestamp x"),
    *("!!binary aGk=", "!!binary %", '!!int ""', "!!int x", "!!float x", '!!float ""'),
    *("!!bool x", "!!null x", "!!set {a}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!merge x"),
    *("!!python/name:os.system", "!local x", "!<tag:x> y", "! x", "!!str 1", "&a 1", "*a"),
    *("&a [*a]", "{<<: {a: 1}}", "{a: 1, a: 2}", "{? [a] : b}", "{1: a, 1.0: b}", "{~: 1}"),
    *('"\\ud800"', '"\\UFFFFFFFF"', '"\\x1b"', '"\\e"', '"\\L"', "'", '"', "|", ">", "|9", "%"),
    *("[" * 60, "{a: " * 60, "- - - -", "? ? ?", "[a, [b, {c: [d]}]]", "a: b: c", "# x", "@", "`"),
    *("---", "...", "\t", "\ufeff", "\u2028", "\x85", "\r", "k" * 2_000, "~", "null", "true"),
]


@pytest.mark.slow
@settings(deadline=SOON, max_examples=300, suppress_health_check=SLOW_INPUTS)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*FULL, "training", "kwargs", "!!int x", "? a", "<<", "&k k", "1"])
            | st.text(max_size=5),
            st.sampled_from(FRAGMENTS) | st.text(max_size=10),
        ),
        max_size=4,
    ),
    st.sampled_from(["\n", "\n  ", ", ", "\r\n"]),
)
@example([("training", '{epochs: !!int ""}')], "\n")
def test_load_yaml_of_all_kinds_is_valid_or_named(pairs, separator):
    head = "name: small\ndataset: digits\nmodel: cnn-tiny\noptimizers: [sam]\n"
    outcome(load_spec, head + separator.join(f"{key}: {value}" for key, value in pairs))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "seeds: [" + ", ".join(map(str, range(30_000))) + "]",
        "seeds: [" + ", ".join(map(str, range(-30_000, 0))) + "]",
        "seeds: [" + "1," * 99_000 + "]",
        "optimizers: [" + "sam," * 49_000 + "]",
        "optimizers: [" + "{}," * 60_000 + "]",
        "x: [" + "[]," * 60_000 + "]",
        "{" + ",".join(f"k{i}" for i in range(25_000)) + "}",
        '{"' + '":{"'.join("a" for _ in range(30_000)),
        "tags: {" + ",".join(f"k{i}: v" for i in range(15_000)) + "}",
        "k" * 199_000 + ": 1",
        "a: '" + "x" * 199_000 + "'",
        "a: " + "- " * 90_000,
        "a " * 99_000,
        "'" * 199_000,
        "&a " * 60_000,
        "? " * 99_000,
        "- " * 99_000,
        "{" * 199_000,
        "\n" * 199_000,
    ],
    ids=lambda text: text[:12],
)
def test_load_large_text_is_refused_in_bounded_time_and_memory(text):
    before = resource.getrusage(resource.RUSAGE_SELF)
    assert outcome(load_spec, text) is None
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 60  # a page of YAML takes seconds with PyYAML
    assert after.ru_maxrss - before.ru_maxrss < 300 * 2**10  # in KiB


@pytest.mark.slow
def test_validate_a_nest_that_contains_itself_is_refused():
    cycle: dict[str, Any] = {}
    cycle["a"] = [cycle, cycle]
    assert outcome(validate_spec, FULL | {"tags": cycle}) is None


def test_validate_a_number_that_python_does_not_print_is_refused():
    huge = 10**6_000
    for place in ("seeds", "priority", "tags", huge):
        assert outcome(validate_spec, FULL | {place: huge}) is None
        assert outcome(validate_spec, FULL | {place: [{huge: huge}]}) is None
