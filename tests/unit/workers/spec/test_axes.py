"""Axes of a search: which there are, what they accept, how they expand to trials."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.spec import Configuration, Range, SpecError, SweepSpec, read_stored, validate_spec

BETAS = [[0.9, 0.95], [0.9, 0.999]]
SPEC = {"name": "small", "dataset": "digits", "model": "cnn-tiny", "optimizers": ["sam"]}


def spec_of(search=None, optimizers=("sam",), **changes) -> SweepSpec:
    data = {**SPEC, "optimizers": list(optimizers), "search": search or {}, **changes}
    return validate_spec(data)


def problems_of(search=None, optimizers=("sam",), **changes):
    with pytest.raises(SpecError) as caught:
        spec_of(search, optimizers, **changes)
    return [(p.path, p.message, p.value) for p in caught.value.problems]


def test_axes_are_those_of_the_search_and_then_the_optimizers_own():
    spec = spec_of(
        {"learning_rate": [1, 0.1], "training.batch_size": [32, 64]},
        [{"name": "sam", "search": {"rho": [0.05], "weight_decay": [0]}}, "msgd"],
    )
    assert list(spec.axes("sam").items()) == [
        ("learning_rate", (1.0, 0.1)),
        ("weight_decay", (0.0,)),
        ("training.batch_size", (32, 64)),
        ("optimizer.rho", (0.05,)),
    ]
    assert list(spec.axes("msgd")) == ["learning_rate", "weight_decay", "training.batch_size"]
    assert {label: spec.configuration_count(label) for label in spec.labels} == {
        "sam": 2 * 2,
        "msgd": 2 * 4 * 2,
    }


def test_axes_have_the_form_of_their_settings():
    spec = spec_of({"optimizer.momentum": [0, 0.5], "training.gradient_clipping": [None, 1]})
    assert spec.axes("sam")["optimizer.momentum"] == (0.0, 0.5)
    assert repr(spec.axes("sam")["training.gradient_clipping"]) == "(None, 1.0)"


@pytest.mark.parametrize(
    "kind", [{}, {"type": "random", "trials": 9}, {"type": "tpe", "trials": 9}]
)
def test_one_value_or_null_fixes_a_setting_and_is_no_axis(kind):
    spec = spec_of(
        {**kind, "learning_rate": 0.1, "weight_decay": None, "optimizer.momentum": [0.1, 0.5, 0.9]},
        ["sam", {"name": "msgd", "search": {"learning_rate": 1}}],
    )
    assert list(spec.axes("sam")) == ["optimizer.momentum"]
    assert spec.configuration_count("sam") == 3  # fewer configurations than trials are all of them
    for trial in spec.trials or spec.corners:
        assert trial.learning_rate == {"sam": 0.1, "msgd": 1.0}[trial.optimizer_label]
        assert trial.weight_decay is None


def test_axis_replaces_the_value_in_its_section():
    """A stored specification has every default in its sections: which are not contradictions."""
    spec = spec_of(
        {"training.batch_size": [32, 64], "model.kwargs.width": [3]},
        [{"name": "adam", "search": {"training.label_smoothing": [0.1]}}, "msgd"],
        training={"batch_size": 16, "label_smoothing": 0.2},
        model={"name": "cnn-tiny", "kwargs": {"width": 9}},
    )
    assert {trial.training.batch_size for trial in spec.trials} == {32, 64}
    assert {trial.model.kwargs["width"] for trial in spec.trials} == {3}
    smoothing = {(trial.optimizer.name, trial.training.label_smoothing) for trial in spec.trials}
    assert smoothing == {("adam", 0.1), ("msgd", 0.2)}


def test_trial_has_no_search_of_its_own():
    spec = spec_of({}, [{"name": "sam", "search": {"rho": [0.05]}}])
    (plain,) = spec_of(
        {"learning_rate": [1e-4], "weight_decay": [0]}, [{"name": "sam", "rho": 0.05}]
    ).trials
    assert spec.trials[0] == plain
    assert "search" not in spec.trials[0].model_dump()["optimizer"]


def test_random_search_gives_optimizers_the_same_values_of_common_axes():
    own = {"name": "sam", "search": {"rho": {"low": 0.01, "high": 1}, "weight_decay": [0, 1]}}
    spec = spec_of({"type": "random", "trials": 20, "optimizer.momentum": [0, 0.9]}, [own, "msgd"])
    sam, msgd = (spec.configurations(label) for label in spec.labels)
    for name in ("learning_rate", "optimizer.momentum"):
        assert [found[name] for found in sam] == [found[name] for found in msgd]
    middle = math.sqrt(1e-8 * 1e-4)  # the same share of another range
    for found, other in zip(sam, msgd, strict=True):
        assert (found["weight_decay"] == 1) == (other["weight_decay"] >= middle)
    assert len({found["optimizer.rho"] for found in sam}) == 20


def test_random_search_of_a_small_space_takes_each_configuration_once():
    search = {
        **{"type": "random", "trials": 1_000, "learning_rate": [0.1, 1], "weight_decay": None},
        "training.batch_size": {"low": 2, "high": 500},
    }
    spec = spec_of(search)
    assert spec.configuration_count("sam") == len(set(spec.configurations("sam"))) == 998


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_range_of_whole_numbers_has_each_of_them(scale):
    spec = spec_of(
        {
            "type": "random",
            "trials": 400,
            "training.batch_size": {"low": 16, "high": 20, "scale": scale},
        }
    )
    sizes = [found["training.batch_size"] for found in spec.configurations("sam")]
    assert set(sizes) == {16, 17, 18, 19, 20}
    assert all(isinstance(size, int) for size in sizes)
    assert min(map(sizes.count, set(sizes))) > 40
    assert spec.axes("sam")["training.batch_size"] == Range(
        low=16, high=20, scale=scale, whole=True
    )


def test_range_of_a_keyword_is_of_whole_numbers_where_it_says_so():
    def widths(**options):
        search = {
            "type": "random",
            "trials": 9,
            "model.kwargs.width": {"low": 4, "high": 64} | options,
        }
        return [found["model.kwargs.width"] for found in spec_of(search).configurations("sam")]

    assert all(isinstance(width, float) for width in widths())
    assert all(isinstance(width, int) for width in widths(whole=True))


def test_specification_survives_a_round_trip():
    spec = spec_of(
        {
            "type": "tpe",
            "trials": 5,
            "training.batch_size": {"low": 16, "high": 20},
            "weight_decay": 0,
        },
        [{"name": "adam", "search": {"betas": BETAS, "learning_rate": None}}],
    )
    for data in (spec.model_dump(), json.loads(spec.model_dump_json())):
        for again in (validate_spec(data), read_stored(data)):
            assert again == spec
            assert again.axes("adam") == spec.axes("adam")
            assert [t.key for t in again.corners] == [t.key for t in spec.corners]


def test_specification_without_further_axes_is_stored_as_before():
    stored = spec_of({"type": "random", "trials": 5}).model_dump(mode="json")
    assert stored["search"] == {
        **{"type": "random", "trials": 5, "seed": 0},
        "learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
        "weight_decay": {"low": 1e-8, "high": 1e-4, "scale": "log"},
    }
    assert stored["optimizers"] == [
        {"label": None, "name": "sam", "rho": "sqrt-lr", "momentum": 0.0}
    ]


@st.composite
def sweeps(draw) -> SweepSpec:
    """A sweep whose optimizers have spaces of different sizes."""
    momenta = st.lists(st.sampled_from([0.0, 0.5, 0.9]), min_size=1, unique=True)
    own = {
        "sam": {"rho": draw(st.lists(st.sampled_from([0.1, 0.2]), min_size=1, unique=True))},
        "msgd": {"momentum": draw(momenta)},
        "adam": {"betas": BETAS[: draw(st.integers(1, 2))]},
        "sa-sgd": {},
        "sa-sam": {"learning_rate": draw(st.none() | st.just([0.1, 1.0]))},
    }
    names = draw(st.lists(st.sampled_from(sorted(own)), min_size=1, unique=True))
    search = draw(
        st.sampled_from([{}, {"type": "random", "trials": 3}, {"type": "random", "trials": 40}])
    )
    search |= {"training.batch_size": [16, 32][: draw(st.integers(1, 2))]}
    if draw(st.booleans()):
        search |= {"learning_rate": [0.1, 0.2], "weight_decay": draw(st.none() | st.just([0, 1]))}
    optimizers = [{"name": name, "search": own[name]} for name in names]
    return spec_of(search, optimizers, seeds=list(range(draw(st.integers(1, 3)))))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sweeps())
def test_expand_takes_each_position_once_as_a_plan_does(spec):
    found = {}
    for label in spec.labels:
        configurations = spec.configurations(label)
        assert len(set(configurations)) == len(configurations) == spec.configuration_count(label)
        for number, configuration in enumerate(configurations):
            made = spec.expand(label, number, configuration)
            assert not made.keys() & found.keys()
            found |= made
            for position, trial in made.items():
                assert spec.configuration_at(position) == (label, number)
                assert trial.values_of(spec.axes(label)) == configuration
    assert tuple(found[position] for position in range(spec.trial_count)) == spec.trials
    assert len({trial.key for trial in spec.trials}) == spec.trial_count


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sweeps())
def test_optimizers_of_different_spaces_progress_together(spec):
    first = [trial.optimizer_label for trial in spec.trials if trial.seed == 0]
    counts = {label: spec.configuration_count(label) for label in spec.labels}
    for length in range(len(first)):
        shares = [(first[:length].count(label), count) for label, count in counts.items()]
        for made, count in shares:
            assert abs(made - count * length / len(first)) <= len(counts)


KNOWN = "axes named optimizer.<option>, training.<field>, model.kwargs.<keyword> or dataset.train_s"
REFUSED = "cannot be an axis: "
BAD = [
    ({"optimizer.momentum": [0, 0.9, 1.5]}, "optimizer.momentum[2]", "must be below 1", "1.5"),
    ({"optimizer.momentum": [0, -0.0]}, "optimizer.momentum", "once; repeated: 0.0", "[0, -0.0]"),
    ({"training.batch_size": [2.5]}, "training.batch_size[0]", "must be a whole number", "2.5"),
    ({"training.batch_size": []}, "training.batch_size", "must have at least 1 entry", "[]"),
    ({"training.batch_size": 1}, "training.batch_size", "must be at least 2", "1"),
    (
        {"training.schedule": ["cosin"]},
        "training.schedule[0]",
        "'constant', 'cosine' or",
        '"cosin"',
    ),
    ({"training.compile": [1]}, "training.compile[0]", "must be true or false", "1"),
    ({"model.kwargs.width": [4, 4.0]}, "model.kwargs.width", "repeated: 4", "[4, 4.0]"),
    ({"model.kwargs.width": [{}]}, "model.kwargs.width[0]", "a number, true, false, null", "{}"),
    ({"model.kwargs.widht": [4]}, "model.kwargs.widht", "unknown keyword of model cnn-ti", "[4]"),
    ({"model.kwargs": [4]}, "model.kwargs", f"{REFUSED}trials with different values", "[4]"),
    ({"momentum": [0]}, "momentum", "did you mean optimizer.momentum?", "[0]"),
    ({"batch_size": [2]}, "batch_size", "did you mean training.batch_size?", "[2]"),
    ({"lerning_rate": [2]}, "lerning_rate", "did you mean learning_rate?", "[2]"),
    ({"training.bath": [2]}, "training.bath", KNOWN, "[2]"),
    ({"optimizer": [2]}, "optimizer", KNOWN, "[2]"),
    (
        {"optimizer.momentun": [0]},
        "optimizer.momentun",
        "no option momentun; did you mean mo",
        "[0]",
    ),
    (
        {"optimizer.name": ["sam"]},
        "optimizer.name",
        f"{REFUSED}list the optimizers under",
        '["sam"]',
    ),
    ({"optimizer.kwargs.a": [1]}, "optimizer.kwargs.a", "must be named without kwargs", "[1]"),
    ({"seed": [1, 2]}, "seed", f"{REFUSED}every configuration runs with each of the", "[1, 2]"),
    ({"dataset.name": ["a"]}, "dataset.name", f"{REFUSED}trials with different values", '["a"]'),
    ({"dataset.test_size": [9]}, "dataset.test_size", f"{REFUSED}trials with different val", "[9]"),
    ({"dataset.placement": [""]}, "dataset.placement", f"{REFUSED}it does not change", '[""]'),
    ({"model.name": ["a"]}, "model.name", f"{REFUSED}trials with different values", '["a"]'),
    ({"ood.images": [9]}, "ood.images", f"{REFUSED}trials with different values", "[9]"),
    ({"curvature.images": [9]}, "curvature.images", f"{REFUSED}trials with different", "[9]"),
    (
        {"training.checkpoint_every": [2]},
        "training.checkpoint_every",
        f"{REFUSED}it does no",
        "[2]",
    ),
    ({"limits.trial_retries": [2]}, "limits.trial_retries", f"{REFUSED}it does not change", "[2]"),
    (
        {"training.batch_size": {"low": 2, "high": 4}},
        "training.batch_size",
        "must be a list of values in a grid (a range needs type: random",
        '{"low"',
    ),
    (
        {"type": "tpe", "trials": 4, "training.batch_size": {"low": 2, "high": 4.5}},
        "training.batch_size.high",
        "must be a whole number",
        "4.5",
    ),
    (
        {"type": "tpe", "trials": 4, "training.batch_size": {"low": 2, "hihg": 4, "high": 5}},
        "training.batch_size.hihg",
        "unknown key; did you mean high? (known: low, high, scale, whole)",
        "4",
    ),
    (
        {"type": "tpe", "trials": 4, "optimizer.momentum": {"low": 0.5, "high": 1}},
        "optimizer.momentum.high",
        "must be below 1",
        "1.0",
    ),
    (
        {"type": "tpe", "trials": 4, "model.kwargs.width": {"low": 2.5, "high": 4, "whole": True}},
        "model.kwargs.width.low",
        "must be a whole number, as whole is true",
        "2.5",
    ),
    (
        {"training.epochs": [3, 10], "training.warmup_epochs": [0, 5]},
        "training.warmup_epochs[1]",
        "must be below epochs, 3 (where training.epochs is 3)",
        "5",
    ),
]


@pytest.mark.parametrize(("search", "path", "message", "got"), BAD, ids=repr)
def test_bad_axis_is_named(search, path, message, got):
    ((where, what, value),) = problems_of(search)
    assert where == f"search.{path}"
    assert message in what
    assert value.startswith(got)


OWN_BAD = [
    ({"betas": [0.9, 0.99]}, "betas", "must be a list of lists, as each value is a list", "[0.9, "),
    ({"betas": [[0.9, 0.9], [0.9, 1]]}, "betas[1][1]", "must be below 1", "1"),
    ({"betas": [[0.9]]}, "betas[0][1]", "is missing", "[0.9]"),
    ({"betas": [[0.9, 0.9], [0.9, 0.9]]}, "betas", "every entry once; repeated: (0.9, 0.9)", "[["),
    ({"bets": BETAS}, "bets", "optimizer adam has no option bets; did you mean betas?", "[["),
    (
        {"optimizer.eps": [1]},
        "optimizer.eps",
        "must be an option of the optimizer by its own",
        "[1",
    ),
    ({"model.kwargs.width": [1]}, "model.kwargs.width", "must be an option of the optimize", "[1"),
    ({"training.batch_siz": [8]}, "training.batch_siz", "did you mean training.batch_size?", "[8"),
    ({"label": ["a"]}, "label", f"{REFUSED}list the optimizers under optimizers", '["a"]'),
    ({"learning_rate": [None]}, "learning_rate[0]", "must be a number", "null"),
    ({"weight_decay": [-1]}, "weight_decay[0]", "must be at least 0", "-1"),
    ({"eps": {"low": 1, "high": 2}}, "eps", "must be a list of values in a grid", '{"low"'),
    ({"training.epochs": [9]}, "training.epochs", "both here and as search.training.epochs", "[9]"),
]


@pytest.mark.parametrize(("search", "path", "message", "got"), OWN_BAD, ids=repr)
def test_bad_axis_of_an_optimizer_is_named(search, path, message, got):
    optimizers = ["sam", {"name": "adam", "search": search}]
    ((where, what, value),) = problems_of({"training.epochs": [3]}, optimizers)
    assert where == f"optimizers[1].search.{path}"
    assert message in what
    assert value.startswith(got)


def test_all_bad_values_are_named_together():
    found = problems_of({"optimizer.momentum": [2, 0.5, 3], "training.batch_size": [1, 64]})
    assert [path for path, *_ in found] == [
        "search.optimizer.momentum[0]",
        "search.optimizer.momentum[2]",
        "search.training.batch_size[0]",
    ]


def test_axis_that_an_optimizer_lacks_names_it_and_advises():
    ((path, message, _),) = problems_of({"optimizer.momentum": [0, 0.9]}, ["sam", "adam", "msgd"])
    assert path == "search.optimizer.momentum"
    assert message == (
        "optimizer adam has no option momentum (known: exempt_vectors, betas, eps); give it to the "
        "others alone, under search of each in optimizers"
    )


def test_grid_of_a_billion_is_refused_at_once():
    numbers = [float(number) for number in range(1, 1_001)]
    search = {
        **{"learning_rate": numbers, "weight_decay": numbers},
        "optimizer.momentum": [number / 1_001 for number in numbers],
    }
    started = time.monotonic()
    ((path, message, value),) = problems_of(
        search, ["sam", {"name": "msgd", "search": {"nesterov": [True, False]}}]
    )
    assert time.monotonic() - started < 5
    assert (path, value) == ("search", "3000000000")
    assert "3,000,000,000 configurations (sam 1,000,000,000, msgd 2,000,000,000) x 1 se" in message


@pytest.mark.parametrize(
    ("search", "changes", "path"),
    [
        ({"training.schedule": ["constant", "cosine"]}, {}, "search.training.schedule[1]"),
        ({"training.gradient_clipping": [None, 1]}, {}, "search.training.gradient_clipping[1]"),
        ({"training.warmup_epochs": 1}, {}, "search.training.warmup_epochs"),
        (
            {"training.epochs": [2, 9]},
            {"early_stopping": {"grace_epochs": 3}},
            "early_stopping.grace_epochs",
        ),
        (
            {"training.epochs": [2, 9]},
            {"training": {"warmup_epochs": 3}},
            "search.training.epochs[0]",
        ),
    ],
    ids=repr,
)
def test_rules_between_sections_hold_for_every_value(search, changes, path):
    ((where, _, _),) = problems_of(search, ["sa-sgd"], **changes)
    assert where == path


def test_rules_between_sections_allow_an_optimizer_its_own_schedule():
    own = {"name": "adam", "search": {"training.schedule": ["constant", "cosine"]}}
    assert spec_of({}, [own, "sa-sgd"]).configuration_count("adam") == 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rho": 0.05}, {"search": {"rho": [0.1, 0.05]}}),
        ({"search": {"rho": [0.1, 0.05]}}, {"search": {"rho": [0.05, 0.2]}}),
        ({"search": {"momentum": [0.0]}}, {"search": {"training.batch_size": [32, 256]}}),
    ],
)
def test_variants_with_a_trial_in_common_are_refused(one, other):
    """Their trials would have equal keys, and one row cannot belong to two labels."""
    variants = [{"name": "sam", "label": "a", **one}, {"name": "sam", "label": "b", **other}]
    ((path, message, value),) = problems_of({}, variants)
    assert (path, value) == ("optimizers[1]", '"b"')
    assert "must have no trial in common with a" in message


def test_variants_that_only_permit_a_schedule_are_refused():
    variants = ["sa-sgd", {"name": "sa-sgd", "label": "b", "scheduled": True}]
    ((path, _, _),) = problems_of({}, variants)
    assert path == "optimizers[1]"


def test_variants_of_ranges_that_overlap_are_refused():
    def variants(low):
        ranges = [{"low": 0.01, "high": 0.1}, {"low": low, "high": 1}]
        return [
            {"name": "sam", "label": f"sam {at}", "search": {"rho": found}}
            for at, found in enumerate(ranges)
        ]

    search = {"type": "tpe", "trials": 4}
    ((path, _, _),) = problems_of(search, variants(0.1))
    assert path == "optimizers[1]"
    assert spec_of(search, variants(0.11)).trial_count == 8


def test_configuration_is_an_immutable_mapping():
    one = Configuration({"learning_rate": 0.1, "optimizer.betas": [0.9, 0.95]})
    assert one == Configuration([("optimizer.betas", (0.9, 0.95)), ("learning_rate", 0.1)])
    assert hash(one) == hash(Configuration(list(one.items())[::-1]))
    assert one.plain() == {"learning_rate": 0.1, "optimizer.betas": [0.9, 0.95]}
    assert list(one) == ["learning_rate", "optimizer.betas"]
    with pytest.raises(TypeError):
        one["learning_rate"] = 1  # type: ignore[index]
    with pytest.raises(TypeError, match="must be a scalar or a list"):
        Configuration({"learning_rate": {}})
