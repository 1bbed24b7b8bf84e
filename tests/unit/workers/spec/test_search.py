"""Random and TPE searches: what they draw, how many trials they have, what they refuse."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.metrics import METRICS
from workers.spec import AshaSpec, Objective, Range, SpecError, TpeSearch, validate_spec

RANDOM = {"type": "random", "trials": 8}
TPE = {"type": "tpe", "trials": 8}
SEARCH = ("search",)
OBJECTIVES = ("search", "objectives")
CURVED = {**TPE, "objectives": ["hessian_trace.validation"]}


def spec_of(changed, search, *changes):
    return validate_spec(changed((SEARCH, search), *changes))


def pairs(configurations):
    """Learning rate and weight decay of each configuration."""
    return [tuple(configuration.values()) for configuration in configurations]


@pytest.mark.parametrize("scale", ["log", "linear"])
@given(ends=st.tuples(st.floats(1e-12, 1e6), st.floats(1.01, 1e9)), share=st.floats(0, 1 - 2**-53))
def test_range_stays_inside_and_rises(scale, ends, share):
    low, factor = ends
    chosen = Range(low=low, high=low * factor * (1 + 1e-12), scale=scale)
    value = chosen.at(share)
    assert chosen.low <= value <= chosen.high
    assert chosen.at(share / 2) <= value


def test_range_spreads_evenly_on_its_scale():
    log, linear = Range(low=1e-4, high=1), Range(low=0, high=2, scale="linear")
    assert [log.at(k / 4) for k in range(4)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert [linear.at(k / 4) for k in range(4)] == pytest.approx([0, 0.5, 1, 1.5])


def test_random_search_is_the_same_in_every_release(changed):
    """Other numbers would be other trials: those of stored sweeps would run again."""
    spec = spec_of(changed, RANDOM)
    assert pairs(spec.configurations("sam"))[:3] == [
        (0.014123116, 4.9604679e-06),
        (0.0053719184, 4.8134782e-05),
        (0.00032504161, 5.428354e-07),
    ]


def test_random_search_expands_like_a_grid(changed):
    spec = spec_of(changed, RANDOM, (("optimizers",), ["sam", "adam"]), (("seeds",), [3, 1]))
    configurations = pairs(spec.configurations("sam"))
    assert pairs(spec.configurations("adam")) == configurations
    assert len(set(configurations)) == 8
    assert spec.trial_count == len(spec.trials) == 2 * 8 * 2
    assert [
        (t.seed, (t.learning_rate, t.weight_decay), t.optimizer_label) for t in spec.trials
    ] == [(seed, c, label) for seed in (3, 1) for c in configurations for label in ("sam", "adam")]
    longer = spec_of(changed, RANDOM | {"trials": 12})
    assert pairs(longer.configurations("sam"))[:8] == configurations
    other = spec_of(changed, RANDOM | {"seed": 1})
    assert not set(pairs(other.configurations("sam"))) & set(configurations)


def test_random_search_picks_every_choice_and_no_other(changed):
    spec = spec_of(changed, {**RANDOM, "trials": 50, "weight_decay": [0, 1e-4, 1e-2]})
    assert {decay for _, decay in pairs(spec.configurations("sam"))} == {0, 1e-4, 1e-2}


def test_random_search_of_the_narrowest_range_ends(changed):
    narrow = {"low": 1e-3, "high": 1.01e-3}
    search = {"type": "random", "trials": 5_000, "learning_rate": narrow, "weight_decay": [0]}
    assert len(set(spec_of(changed, search).configurations("sam"))) == 5_000


@pytest.mark.parametrize("search", [RANDOM, TPE, CURVED, {**TPE, "weight_decay": [0, 1e-4]}])
def test_search_survives_a_round_trip(changed, search):
    spec = spec_of(changed, search)
    for data in (spec.model_dump(), json.loads(spec.model_dump_json())):
        assert validate_spec(data) == spec
    short = spec.model_dump(mode="json", exclude_defaults=True)
    assert validate_spec(short) == spec


def test_tpe_search_knows_how_many_trials_but_not_which(changed):
    spec = spec_of(changed, TPE, (("optimizers",), ["sam", "adam"]), (("seeds",), [0, 1, 2]))
    assert spec.trial_count == 2 * 8 * 3
    assert spec.trials == ()
    assert [(t.optimizer_label, t.learning_rate, t.weight_decay) for t in spec.corners] == [
        (label, rate, decay)
        for label in ("sam", "adam")
        for rate, decay in [(0.1, 1e-4), (1e-4, 1e-4), (0.1, 1e-8)]
    ]


def test_objective_takes_its_direction_from_the_metric():
    for metric in Objective.model_fields["metric"].annotation.__args__:
        better = METRICS[metric.partition(".")[0]].better
        direction = {"higher": "maximize", "lower": "minimize"}[better]
        assert Objective.model_validate(metric).direction == direction
        assert Objective(metric=metric, direction=direction).metric == metric
    assert TpeSearch(type="tpe", trials=1).objectives == (Objective(),)
    assert AshaSpec(metric="val_loss").direction == "minimize"


RATE, DECAY = ("search", "learning_rate"), ("search", "weight_decay")
BAD = [
    ((SEARCH, {"type": "random"}), "search.trials", "is missing", "nothing"),
    ((SEARCH, {**RANDOM, "trials": 0}), "search.trials", "at least 1", "0"),
    ((SEARCH, {**RANDOM, "trials": 10**6}), "search.trials", "at most 100000", "1000000"),
    (
        (SEARCH, {**RANDOM, "learning_rate": "0.1"}),
        "search.learning_rate",
        "a mapping or a list or a number, not text",
        '"0.1"',
    ),
    ((SEARCH, {**RANDOM, "weight_decay": [-1]}), "search.weight_decay[0]", "at least 0", "-1"),
    (
        (SEARCH, {**RANDOM, "learning_rate": {"low": 0.1, "high": 0.1}}),
        "search.learning_rate.low",
        "must be at least 1 % below high, 0.1",
        "0.1",
    ),
    (
        (SEARCH, {**RANDOM, "weight_decay": {"low": 0, "high": 1}}),
        "search.weight_decay.low",
        "above 0 on a log scale (or choose scale: linear)",
        "0",
    ),
    (
        (SEARCH, {**RANDOM, "learning_rate": {"low": 0, "high": 1, "scale": "linear"}}),
        "search.learning_rate.low",
        "must be above 0",
        "0",
    ),
    (
        (SEARCH, {**RANDOM, "learning_rate": {"low": 0.1, "high": math.inf}}),
        "search.learning_rate.high",
        "must be a finite number",
        "Infinity",
    ),
    (
        (SEARCH, {**RANDOM, "learning_rate": {"low": 0.1, "high": 1, "step": 1}}),
        "search.learning_rate.step",
        "unknown key (known: low, high, scale, whole)",
        "1",
    ),
    (
        (SEARCH, {**RANDOM, "weight_decay": {"low": 0.1, "high": 1, "scal": "log"}}),
        "search.weight_decay.scal",
        "did you mean scale? (known: low, high, scale, whole)",
        '"log"',
    ),
    ((SEARCH, {**RANDOM, "objectives": ["a"]}), "search.objectives", "unknown key", "["),
    ((SEARCH, {**TPE, "objectives": ["x"]}), "search.objectives[0]", "'val_accuracy', ", '"x"'),
    (
        (SEARCH, {**TPE, "objectives": [{"metric": "ood_accuracy"}]}),
        "search.objectives[0].metric",
        "must not be of OOD data: what selects",
        '"ood_accuracy"',
    ),
    (
        (SEARCH, {**TPE, "objectives": [{"metric": "val_loss", "direction": "maximize"}]}),
        "search.objectives[0].direction",
        "must be minimize: lower val_loss is better",
        '"maximize"',
    ),
    (
        (SEARCH, {**TPE, "objectives": ["val_loss", "val_loss"]}),
        "search.objectives",
        "every entry once; repeated: val_loss",
        '["val_loss", "val_loss"]',
    ),
    (
        (SEARCH, {**TPE, "objectives": ["val_loss", "train_loss", "val_accuracy"]}),
        "search.objectives",
        "must have at most 2 entries",
        "[",
    ),
    (
        (SEARCH, {**TPE, "objectives": [{"metrik": "val_loss"}]}),
        "search.objectives[0].metrik",
        "did you mean metric? (known: metric, direction)",
        '"val_loss"',
    ),
    ((("early_stopping",), "asha"), "early_stopping", "must be a mapping", '"asha"'),
    ((("early_stopping", "type"), "median"), "early_stopping.type", "must be 'asha'", '"median"'),
    (
        (("early_stopping", "metric"), "ood_accuracy"),
        "early_stopping.metric",
        "must be 'val_accuracy', ",
        '"ood_accuracy"',
    ),
    (
        (("early_stopping", "grace"), 3),
        "early_stopping.grace",
        "unknown key (known: type, metric, grace_epochs, reduction_factor)",
        "3",
    ),
    (
        (("early_stopping", "grace_epochs"), 200),
        "early_stopping.grace_epochs",
        "must be below training.epochs, 200",
        "200",
    ),
    (
        (("early_stopping", "reduction_factor"), 1),
        "early_stopping.reduction_factor",
        "must be at least 2",
        "1",
    ),
]


@pytest.mark.parametrize(("change", "where", "message", "got"), BAD)
def test_validate_bad_search_is_named(changed, change, where, message, got):
    with pytest.raises(SpecError) as caught:
        validate_spec(changed(change))
    (problem,) = caught.value.problems
    assert problem.path == where
    assert message in problem.message
    assert problem.value.startswith(got)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((("curvature",), None), "needs trace among curvature.metrics"),
        ((("curvature", "metrics"), ["lambda_max"]), "needs trace among curvature.metrics"),
        ((("curvature", "splits"), ["ood"]), "needs validation among curvature.splits"),
        ((("early_stopping",), {}), "cannot go with early_stopping"),
    ],
)
def test_validate_objective_that_nothing_measures_is_refused(changed, change, message):
    with pytest.raises(SpecError) as caught:
        spec_of(changed, CURVED, change)
    (problem,) = caught.value.problems
    assert problem.path == "search.objectives[0]"
    assert message in problem.message
    assert problem.value == '"hessian_trace.validation"'
