"""The next configuration as a function of the past."""

from __future__ import annotations

import math
import warnings

import pytest

from workers.spec import Configuration, validate_spec
from workers.tpe import TriedConfiguration, suggest_configuration


def spec_of(optimizers=("sam", "adam"), **changes):
    ranges = {
        "learning_rate": {"low": 1e-4, "high": 1.0},
        "weight_decay": {"low": 1e-8, "high": 1e-2},
    }
    plain = {"name": "small", "dataset": "digits", "model": "cnn-tiny"}
    search = {"type": "tpe", "trials": 40, **ranges, **changes}
    return validate_spec({**plain, "optimizers": list(optimizers), "search": search})


def suggest(spec, label, past):
    return suggest_configuration(spec.search, spec.space(label), label, past)


def run(spec, evaluate, count, label="sam"):
    """A search of one trial at a time; its configurations as tuples of values."""
    past = []
    for _ in range(count):
        configuration = suggest(spec, label, past)
        values = evaluate(*configuration.values())
        past.append(TriedConfiguration(configuration, values, has_ended=True))
    return [tuple(tried.configuration.values()) for tried in past]


def tried(spec, values, evaluate):
    """A configuration as tried, from its values."""
    configuration = Configuration(zip(spec.axes("sam"), values, strict=True))
    return TriedConfiguration(configuration, evaluate(*values), has_ended=True)


def accuracy(rate, decay):
    """Best at (1e-2, 1e-5)."""
    return [1 - 0.1 * (math.log10(rate) + 2) ** 2 - 0.01 * (math.log10(decay) + 5) ** 2]


@pytest.mark.slow
def test_suggest_repeats_itself_and_stays_in_its_ranges():
    search = spec_of()
    found = run(search, accuracy, 20)
    assert run(search, accuracy, 20) == found
    assert len(set(found)) == 20
    assert all(1e-4 <= rate <= 1 and 1e-8 <= decay <= 1e-2 for rate, decay in found)
    other = run(spec_of(seed=1), accuracy, 20)
    assert not set(other) & set(found)


def test_suggest_begins_alike_for_every_optimizer():
    search = spec_of()
    one, two = (run(search, accuracy, 14, label) for label in ("sam", "adam"))
    assert one[:10] == two[:10]
    assert not set(one[10:]) & set(two[10:])
    short = spec_of(trials=8)
    one, two = (run(short, accuracy, 4, label) for label in ("sam", "adam"))
    assert [a == b for a, b in zip(one, two, strict=True)] == [True, True, False, False]


@pytest.mark.slow
def test_suggest_learns_where_accuracy_is_high():
    found = run(spec_of(), accuracy, 40)
    off = [abs(math.log10(rate) + 2) for rate, _ in found]
    assert sum(off[30:]) < 0.5 * sum(off[:10])


def test_suggest_depends_on_the_past_alone():
    """Neither on the time at which trials ended nor on what ran in this process before."""
    search = spec_of()
    past = [tried(search, values, accuracy) for values in run(search, accuracy, 15)]
    expected = suggest(search, "sam", past)
    suggest(search, "adam", [])
    assert suggest(search, "sam", past) == expected
    best = max(past, key=lambda found: found.values)
    running = [
        TriedConfiguration(t.configuration, None, has_ended=False) if t is best else t for t in past
    ]
    assert suggest(search, "sam", running) != expected


@pytest.mark.slow
def test_suggest_of_parallel_trials_spreads():
    search = spec_of()
    past = [tried(search, values, accuracy) for values in run(search, accuracy, 15)]
    for _ in range(8):
        past.append(TriedConfiguration(suggest(search, "sam", past), None, has_ended=False))
    assert len({tried.configuration for tried in past}) == 23


@pytest.mark.slow
def test_suggest_skips_failed_trials():
    search = spec_of()

    def failing(rate, decay):
        return None if rate > 0.1 else accuracy(rate, decay)

    found = run(search, failing, 20)
    assert len(set(found)) == 20


@pytest.mark.slow
@pytest.mark.parametrize("second", ["val_loss", "hessian_trace.validation"])
def test_suggest_of_two_objectives_takes_infinite_ones(second):
    search = spec_of(objectives=["val_accuracy", second])

    def evaluate(rate, decay):
        if rate > 0.1:
            return [0.1, math.inf]
        return [*accuracy(rate, decay), rate]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(search, evaluate, 30)
    assert sum(rate > 0.1 for rate, _ in found[20:]) <= 2


@pytest.mark.slow
def test_suggest_continues_where_all_diverge():
    assert len(set(run(spec_of(objectives=["val_loss"]), lambda *_: [math.inf], 20))) == 20
    both = spec_of(objectives=["val_loss", "train_loss"])
    assert len(set(run(both, lambda *_: [math.inf, math.inf], 20))) == 20


@pytest.mark.slow
def test_suggest_of_choices_takes_each():
    search = spec_of(weight_decay=[0, 1e-4])
    assert {decay for _, decay in run(search, lambda rate, _: accuracy(rate, 1e-5), 20)} == {
        *(0, 1e-4)
    }


def test_suggestions_are_the_same_in_every_release():
    """A resumed search must continue as it would have under the release that began it."""
    found = run(spec_of(weight_decay=[0, 1e-4]), lambda rate, _: accuracy(rate, 1e-5), 12)
    assert found[0] == (pytest.approx(0.10066849528563304), 1e-4)
    assert found[10:] == [
        (pytest.approx(0.054987685354421355), 0),
        (pytest.approx(0.030398207501485877), 0),
    ]


@pytest.mark.slow
def test_suggest_takes_whole_numbers_and_lists():
    spec = spec_of(
        [{"name": "adam", "search": {"betas": [[0.9, 0.95], [0.9, 0.999]]}}],
        **{"training.batch_size": {"low": 16, "high": 256}},
    )
    found = run(spec, lambda rate, decay, *_: accuracy(rate, decay), 30, "adam")
    assert list(spec.axes("adam"))[2:] == ["training.batch_size", "optimizer.betas"]
    assert all(isinstance(size, int) and 16 <= size <= 256 for _, _, size, _ in found)
    assert {betas for *_, betas in found} == {(0.9, 0.95), (0.9, 0.999)}


def test_suggest_begins_alike_where_optimizers_share_an_axis():
    spec = spec_of([{"name": "sam", "search": {"rho": {"low": 0.01, "high": 1}}}, "adam"])
    sam, adam = (suggest(spec, label, []) for label in ("sam", "adam"))
    assert sam["learning_rate"] == adam["learning_rate"]
    assert sam["weight_decay"] == adam["weight_decay"]


def test_suggest_of_a_finite_space_takes_each_configuration():
    spec = spec_of(
        learning_rate=[0.01, 0.1],
        weight_decay=None,
        **{"optimizer.eps": [1e-8, 1e-4, 1]},
        optimizers=["adam"],
    )
    assert spec.configuration_count("adam") == 6
    found = run(spec, lambda rate, _: [rate], 6, "adam")
    assert len(set(found)) == 6
