"""The next configuration as a function of the past."""

from __future__ import annotations

import math
import warnings

import pytest

from workers.spec import TpeSearch
from workers.tpe import TriedConfiguration, suggest_configuration


def search_of(**changes):
    ranges = {
        "learning_rate": {"low": 1e-4, "high": 1.0},
        "weight_decay": {"low": 1e-8, "high": 1e-2},
    }
    return TpeSearch.model_validate({"type": "tpe", "trials": 40, **ranges, **changes})


def run(search, evaluate, count, label="sam"):
    """A search of one trial at a time."""
    past = []
    for _ in range(count):
        configuration = suggest_configuration(search, label, past)
        past.append(TriedConfiguration(configuration, evaluate(*configuration), has_ended=True))
    return [tried.configuration for tried in past]


def accuracy(rate, decay):
    """Best at (1e-2, 1e-5)."""
    return [1 - 0.1 * (math.log10(rate) + 2) ** 2 - 0.01 * (math.log10(decay) + 5) ** 2]


def test_suggest_repeats_itself_and_stays_in_its_ranges():
    search = search_of()
    found = run(search, accuracy, 20)
    assert run(search, accuracy, 20) == found
    assert len(set(found)) == 20
    assert all(1e-4 <= rate <= 1 and 1e-8 <= decay <= 1e-2 for rate, decay in found)
    other = run(search_of(seed=1), accuracy, 20)
    assert not set(other) & set(found)


def test_suggest_begins_alike_for_every_optimizer():
    search = search_of()
    one, two = (run(search, accuracy, 14, label) for label in ("sam", "adam"))
    assert one[:10] == two[:10]
    assert not set(one[10:]) & set(two[10:])
    short = search_of(trials=8)
    one, two = (run(short, accuracy, 4, label) for label in ("sam", "adam"))
    assert [a == b for a, b in zip(one, two, strict=True)] == [True, True, False, False]


def test_suggest_learns_where_accuracy_is_high():
    found = run(search_of(), accuracy, 40)
    off = [abs(math.log10(rate) + 2) for rate, _ in found]
    assert sum(off[30:]) < 0.5 * sum(off[:10])


def test_suggest_depends_on_the_past_alone():
    """Neither on the time at which trials ended nor on what ran in this process before."""
    search = search_of()
    past = [TriedConfiguration(c, accuracy(*c), has_ended=True) for c in run(search, accuracy, 15)]
    expected = suggest_configuration(search, "sam", past)
    suggest_configuration(search, "adam", [])
    assert suggest_configuration(search, "sam", past) == expected
    best = max(past, key=lambda tried: tried.values)
    running = [
        TriedConfiguration(t.configuration, None, has_ended=False) if t is best else t for t in past
    ]
    assert suggest_configuration(search, "sam", running) != expected


def test_suggest_of_parallel_trials_spreads():
    search = search_of()
    past = [TriedConfiguration(c, accuracy(*c), has_ended=True) for c in run(search, accuracy, 15)]
    for _ in range(8):
        past.append(
            TriedConfiguration(suggest_configuration(search, "sam", past), None, has_ended=False)
        )
    assert len({tried.configuration for tried in past}) == 23


def test_suggest_skips_failed_trials():
    search = search_of()

    def failing(rate, decay):
        return None if rate > 0.1 else accuracy(rate, decay)

    found = run(search, failing, 20)
    assert len(set(found)) == 20


@pytest.mark.parametrize("second", ["val_loss", "hessian_trace.validation"])
def test_suggest_of_two_objectives_takes_infinite_ones(second):
    search = search_of(objectives=["val_accuracy", second])

    def evaluate(rate, decay):
        if rate > 0.1:
            return [0.1, math.inf]
        return [*accuracy(rate, decay), rate]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(search, evaluate, 30)
    assert sum(rate > 0.1 for rate, _ in found[20:]) <= 2


def test_suggest_where_all_diverge_goes_on():
    assert len(set(run(search_of(objectives=["val_loss"]), lambda *_: [math.inf], 20))) == 20
    both = search_of(objectives=["val_loss", "train_loss"])
    assert len(set(run(both, lambda *_: [math.inf, math.inf], 20))) == 20


def test_suggest_of_choices_takes_each():
    search = search_of(weight_decay=[0, 1e-4])
    assert {decay for _, decay in run(search, lambda rate, _: accuracy(rate, 1e-5), 20)} == {
        *(0, 1e-4)
    }
