"""Every bad entry is named by its path, with the value got and what is allowed."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.corruptions.names import CORRUPTIONS
from workers.spec import SpecError, SweepSpec, duration_seconds, validate_spec
from workers.spec.messages import MESSAGES

LR = ("search", "learning_rate")
LR_0 = (*LR, 0)
SECTION_KEYS = "known: name, dataset, ood, model, optimizers, search, seeds, training, curvature"


def problems_of(data):
    with pytest.raises(SpecError) as caught:
        validate_spec(data)
    return caught.value.problems


# Path in the specification, value, path in the problem, message, value as text.
NUMBERS = [
    (LR, [0], "search.learning_rate[0]", "must be above 0", "0"),
    (LR, [0.1, -1e-4], "search.learning_rate[1]", "must be above 0", "-0.0001"),
    (LR, [math.nan], "search.learning_rate[0]", "must be a finite number", "NaN"),
    (LR, [math.inf], "search.learning_rate[0]", "must be a finite number", "Infinity"),
    (LR, ["1e-4"], "search.learning_rate[0]", "must be a number, not text", '"1e-4"'),
    (LR, [True], "search.learning_rate[0]", "must be a number", "true"),
    (LR, [None], "search.learning_rate[0]", "must be a number", "null"),
    (LR, [10**400], "search.learning_rate[0]", "must be between -9007199254740991 and", "1000"),
    (LR, [1e31], "search.learning_rate[0]", "must be at most 1e+30", "1e+31"),
    (LR, [1e-31], "search.learning_rate[0]", "must be at least 1e-30", "1e-31"),
    (("dataset", "train_size"), 10**10, "dataset.train_size", "must be at most 1000000000", "1000"),
    (("training", "warmup_epochs"), 10**6, "training.warmup_epochs", "at most 100000", "1000000"),
    (("resources", "cpu"), 0.00001, "resources.cpu", "must be 0 or at least 0.0001", "1e-05"),
    (("resources", "gpu"), 0.00001, "resources.gpu", "must be 0 or at least 0.0001", "1e-05"),
    (("resources", "cpu"), 1e308, "resources.cpu", "must be at most 10000", "1e+308"),
    (("resources", "gpu"), 1e5, "resources.gpu", "must be at most 1000", "100000.0"),
    (("resources",), {"cpu": 0, "gpu": 0}, "resources.cpu", "above 0 where gpu is 0", "0.0"),
    (LR, 0, "search.learning_rate", "must be a list or above 0", "0"),
    (LR, [], "search.learning_rate", "must have at least 1 entry", "[]"),
    (LR, [1, 1.0], "search.learning_rate", "every entry once; repeated: 1.0", "[1, 1.0]"),
    (("search", "weight_decay"), [-1], "search.weight_decay[0]", "must be at least 0", "-1"),
    (("search", "weight_decay"), [0, -0.0], "search.weight_decay", "repeated: 0.0", "[0, -0.0]"),
    (("seeds",), [-1], "seeds[0]", "must be at least 0", "-1"),
    (("seeds",), [2**32], "seeds[0]", "must be below 4294967296", "4294967296"),
    (("seeds",), [0.5], "seeds[0]", "must be a whole number", "0.5"),
    (("seeds",), [1.0], "seeds[0]", "must be a whole number", "1.0"),
    (("seeds",), [True], "seeds[0]", "must be a whole number", "true"),
    (("seeds",), ["1"], "seeds[0]", "must be a whole number, not text", '"1"'),
    (("seeds",), [], "seeds", "must have at least 1 entry", "[]"),
    (("seeds",), [3, 1, 3], "seeds", "every entry once; repeated: 3", "[3, 1, 3]"),
    (("training", "epochs"), 0, "training.epochs", "must be at least 1", "0"),
    (("training", "epochs"), 10**6, "training.epochs", "must be at most 100000", "1000000"),
    (("training", "label_smoothing"), 1, "training.label_smoothing", "must be below 1", "1"),
    (("priority",), 1001, "priority", "must be at most 1000", "1001"),
    (("resources", "gpu"), 1.5, "resources.gpu", "fraction of one GPU, or a whole number", "1.5"),
    (("resources", "cpu"), math.inf, "resources.cpu", "must be a finite number", "Infinity"),
    (("ood", "severities"), [6], "ood.severities[0]", "must be at most 5", "6"),
    (("curvature", "every"), 0, "curvature.every", "must be 'end' or at least 1", "0"),
    (
        ("optimizers",),
        [{"name": "adam", "betas": [0.9, 1]}],
        "optimizers[0].betas[1]",
        "must be below 1",
        "1",
    ),
    (
        ("optimizers",),
        [{"name": "adam", "betas": [0.9]}],
        "optimizers[0].betas[1]",
        "is missing",
        "nothing",
    ),
    (
        ("optimizers",),
        [{"name": "sam", "rho": -1}],
        "optimizers[0].rho",
        "must be 'sqrt-lr' or above 0",
        "-1",
    ),
]

NAMES = [
    (("foo",), 1, "foo", SECTION_KEYS, "1"),
    (("sedes",), [0], "sedes", "did you mean seeds?", "[0]"),
    (
        ("optimizers",),
        [{"name": "sam", "rh": 1}],
        "optimizers[0].rh",
        "did you mean rho? (known: name, label, search, exempt_vectors, rho, momentum, base)",
        "1",
    ),
    (("training", "epoch"), 3, "training.epoch", "did you mean epochs? (known: epochs,", "3"),
    (("ood", "severity"), 3, "ood.severity", "did you mean severities? (known: corr", "3"),
    (
        ("optimizers",),
        ["samm"],
        "optimizers[0]",
        "unknown optimizer 'samm'; did you mean sam? (known: adam, adamw,",
        '"samm"',
    ),
    (
        ("optimizers",),
        [{"name": "samm"}],
        "optimizers[0].name",
        "unknown optimizer 'samm'; did you mean sam?",
        '"samm"',
    ),
    (("optimizers",), [{"label": "a"}], "optimizers[0].name", "is missing", "nothing"),
    (("optimizers",), [3], "optimizers[0]", "must be a mapping or a name", "3"),
    (("optimizers",), "sam", "optimizers", "must be a list", '"sam"'),
    (("optimizers",), [], "optimizers", "must have at least 1 entry", "[]"),
    (
        ("optimizers",),
        ["sam", "adam", "sam"],
        "optimizers",
        "every label once; repeated: sam",
        '["sam", "adam", "sam"]',
    ),
    (
        ("optimizers",),
        ["adam", {"name": "sam", "label": "adam"}],
        "optimizers",
        "every label once; repeated: adam",
        '["adam", {"name": "sam", "label": "adam"}]',
    ),
    (
        ("optimizers",),
        ["sam", {"name": "sam", "label": "other", "rho": "sqrt-lr"}],
        "optimizers[1]",
        "must differ from sam in more than its label",
        '"other"',
    ),
    (("model",), "vg19", "model", "unknown model 'vg19'; did you mean vgg19? (known:", '"vg19"'),
    (("model",), None, "model", "must be a mapping or a name", "null"),
    (("model", "name"), "timm:", "model.name", "did you mean timm:<name>?", '"timm:"'),
    (
        ("model", "kwargs"),
        {"depth": 3},
        "model.kwargs.depth",
        "unknown keyword of model cnn-tiny (known: width)",
        "3",
    ),
    (
        ("model", "kwargs"),
        {"width": [1, math.nan]},
        "model.kwargs.width[1]",
        "must be a finite number",
        "NaN",
    ),
    (
        ("dataset", "kwargs"),
        {"a=b": 1},
        "dataset.kwargs.a=b",
        "must be named like a Python argument",
        "1",
    ),
    (
        ("dataset", "kwargs"),
        {"root": "a\0"},
        "dataset.kwargs.root",
        "must be text without control characters",
        '"a\\u0000"',
    ),
    (
        ("dataset",),
        "cifar",
        "dataset",
        "unknown dataset 'cifar'; did you mean cifar10? (known: cifar10, cifar100,",
        '"cifar"',
    ),
    (("dataset",), {}, "dataset.name", "is missing", "nothing"),
    (("name",), "a/b", "name", "must be 1 to 63 letters of A to Z, digits", '"a/b"'),
    (("name",), "a\n", "name", "must be text without control characters such as \\x0a", '"a\\n"'),
    (("name",), "a" * 64, "name", "must be 1 to 63 letters of A to Z, digits", '"aaa'),
    (("name",), "\ud800", "name", "without control characters such as \\ud800", '"\\ud800"'),
    (
        ("model",),
        "timm:\x1b[31m\x07",
        "model",
        "without control characters such as \\x1b",
        '"timm:\\u001b[31m\\u0007"',
    ),
    (("tags",), {"a": "x\u202ey"}, "tags.a", "such as \\u202e", '"x\\u202ey"'),
    (("tags",), {"a": "x\x9b"}, "tags.a", "such as \\x9b", '"x\\x9b"'),
    (
        ("model", "kwargs"),
        {"width": [{"a\x1b": 1}]},
        "model.kwargs.width[0].'a\\x1b'",
        "must have keys without control characters such as \\x1b",
        '"a\\u001b"',
    ),
    (("model", "name"), "timm:" + "a" * 300, "model.name", "at most 200 characters", '"timm:aaa'),
    (("model",), "a" * 50_000, "model", "must have at most 1,000 characters", '"aaa'),
    (
        ("dataset", "kwargs"),
        {"a": {"b" * 101: 1}},
        "dataset.kwargs.a.bbb",
        "keys of at most 100",
        '"bbb',
    ),
    (
        ("dataset", "kwargs"),
        {"a": [0] * 2_000},
        "dataset.kwargs",
        "must have at most 4,000 characters as JSON",
        '{"a": [0, 0',
    ),
    (("search", "type"), "gird", "search.type", "must be 'grid' or 'random' or 'tpe'", '"gird"'),
    (("search",), None, "search", "must be a mapping", "null"),
    (
        ("ood", "corruptions"),
        ["fog", "fogg"],
        "ood.corruptions[1]",
        "unknown corruption 'fogg' (known: gaussian_noise,",
        '"fogg"',
    ),
    (
        ("dataset", "test_sets"),
        ["cifar10.1-v5"],
        "dataset.test_sets[0]",
        "unknown test set of data set digits (known: none)",
        '"cifar10.1-v5"',
    ),
    (
        ("ood", "corruptions"),
        "some",
        "ood.corruptions",
        "must be 'all' or 'benchmark' or a list",
        '"some"',
    ),
    (
        ("training", "augmentation"),
        "flip",
        "training.augmentation",
        "must be 'none', 'crop', 'crop-flip' or 'randaugment'",
        '"flip"',
    ),
    (("training", "compile"), "yes", "training.compile", "must be true or false", '"yes"'),
    (("training", "compile"), 1, "training.compile", "must be true or false", "1"),
    (("reuse",), "yes", "reuse", "must be true or false", '"yes"'),
    (
        ("training", "warmup_epochs"),
        200,
        "training.warmup_epochs",
        "must be below epochs, 200",
        "200",
    ),
    (("limits", "wall_clock"), "24", "limits.wall_clock", 'such as "24h", "90m"', '"24"'),
    (("limits", "wall_clock"), "0h", "limits.wall_clock", "above zero", '"0h"'),
    (("limits", "wall_clock"), "9" * 9 + "d", "limits.wall_clock", "above zero", '"999'),
    (("tags",), {"a/b": "c"}, "tags.a/b", "must be 1 to 63 letters", '"a/b"'),
    (("tags",), {"a": ""}, "tags.a", "must not be empty", '""'),
    (("tags",), {"a": "b\0"}, "tags.a", "without control characters", '"b\\u0000"'),
    (
        ("tags",),
        {"mlflow.parentRunId": "x"},
        "tags.mlflow.parentRunId",
        "must not begin with mlflow. or sasam.",
        '"x"',
    ),
    (("tags",), {1: "a"}, "tags", "must have text as keys", "1"),
    (
        ("ood",),
        None,
        "curvature.splits",
        "must be [validation]: the sweep has no ood section",
        '["validation", "ood"]',
    ),
]


@pytest.mark.parametrize(("path", "value", "where", "message", "got"), NUMBERS + NAMES)
def test_validate_bad_entry_is_named(changed, path, value, where, message, got):
    problem, *others = problems_of(changed((path, value)))
    assert not others
    assert problem.path == where or (
        len(where) < len(problem.path) == 80 and problem.path.endswith("...")
    )
    assert message in problem.message
    assert problem.value.startswith(got)


@pytest.mark.parametrize(
    ("key", "value"), [("schedule", "cosine"), ("warmup_epochs", 1), ("gradient_clipping", 1.0)]
)
def test_validate_what_fights_an_adaptive_optimizer_is_refused(changed, key, value):
    data = changed((("optimizers",), ["adam", "sa-sgd"]), (("training", key), value))
    (problem,) = problems_of(data)
    assert problem.path == f"training.{key}"
    assert "sa-sgd measures its own step size" in problem.message


@pytest.mark.parametrize(("key", "value"), [("schedule", "cosine"), ("warmup_epochs", 1)])
def test_validate_an_adaptive_optimizer_takes_a_schedule_when_told_to(changed, key, value):
    optimizer = {"name": "sa-sgd", "scheduled": True}
    data = changed((("optimizers",), ["adam", optimizer]), (("training", key), value))
    scheduled = SweepSpec.model_validate(data)
    assert getattr(scheduled.training, key) == value
    assert "scheduled" not in scheduled.optimizers[1].options()


def test_validate_several_mistakes_are_all_named(changed):
    data = changed(
        (("foo",), 1), (LR, [-1, 0.1, math.nan]), (("training", "epochs"), 0), (("model",), "vgg")
    )
    paths = [problem.path for problem in problems_of(data)]
    assert sorted(paths) == [
        "foo",
        "model",
        "search.learning_rate[0]",
        "search.learning_rate[2]",
        "training.epochs",
    ]


@pytest.mark.slow
def test_validate_thousands_of_mistakes_are_counted_not_listed(changed):
    *first, last = problems_of(changed((("seeds",), [-i for i in range(1, 20_001)])))
    assert [problem.path for problem in first] == [f"seeds[{i}]" for i in range(20)]
    assert "19,980 more" in last.message
    assert last.value == "20,000 in all"


@pytest.mark.parametrize("data", [None, 3, "sam", [], ["sam"]])
def test_validate_no_mapping_is_refused(data):
    (problem,) = problems_of(data)
    assert problem.path == ""
    assert "must be a mapping of sections" in problem.message
    assert str(problem).startswith("specification: ")


def test_validate_endless_nest_is_refused(changed):
    nest: list[object] = []
    for _ in range(5_000):
        nest = [nest]
    (problem,) = problems_of(changed((("model", "kwargs"), {"width": nest})))
    assert problem.path.startswith("model.kwargs.width[0]")
    assert len(problem.path) <= 80
    assert problem.message == "is nested too deeply"


def test_messages_are_plain_english(changed):
    jargon = re.compile(
        r"tuple|dict|input|after validation|instance|string|pattern|\{|float|int\b", re.I
    )
    for path, value, *_ in NUMBERS + NAMES:
        for problem in problems_of(changed((path, value))):
            assert not jargon.search(problem.message.partition("(known")[0]), problem
    assert not [message for message in MESSAGES.values() if not message.startswith(("must", "is"))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(SweepSpec.model_fields)) | st.text(max_size=5), JSON))
def test_validate_arbitrary_data_has_no_other_error(data):
    for problem in problems_of(data):
        str(problem).encode()
        assert len(problem.value) <= 80


@pytest.mark.parametrize("name", ["all", "benchmark", ["fog", "snow"]])
def test_ood_names_are_resolved(changed, name):
    spec = validate_spec(changed((("ood", "corruptions"), name)))
    expected = {"all": CORRUPTIONS, "benchmark": CORRUPTIONS[:15]}.get(str(name), ("fog", "snow"))
    assert spec.ood is not None
    assert spec.ood.names == expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("90m", 5_400), ("1d12h", 129_600), ("1d1h1m1s", 90_061)]
)
def test_duration_seconds_adds_units(changed, text, seconds):
    assert duration_seconds(text) == seconds
    assert validate_spec(changed((("limits", "wall_clock"), text))).limits.wall_clock == text


def test_message_quotes_control_characters_escaped(changed):
    *_, repeated = problems_of(changed((("ood", "corruptions"), ["\n", "\n"])))
    assert repeated.path == "ood.corruptions"
    assert repeated.message.endswith(r"must have every entry once; repeated: \x0a")


def test_long_message_is_cut(changed):
    *_, repeated = problems_of(changed((("ood", "corruptions"), ["x" * 3_000] * 2)))
    assert len(repeated.message) == 1_000
