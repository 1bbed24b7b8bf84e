"""How many trials a process gets at once, and how many shares there are."""

from __future__ import annotations

import math

import pytest

from workers.shares import Shares, make_shares
from workers.spec import validate_spec

SPEC = {
    "name": "small",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": ["sam"],
    "search": {"learning_rate": [0.1, 0.2], "weight_decay": [0]},
}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shares(clock):
    return Shares(lambda: 4.0, lambda: math.inf, clock=clock)


def test_shares_are_single_trials_until_one_has_ended(shares):
    shares.start()
    assert shares.size(1_000) == 1
    assert shares.limit == 8


def test_shares_of_short_trials_take_a_quarter_of_a_minute(shares):
    shares.end(0.5)
    assert shares.size(10_000) == 30
    shares.end(1.5)
    assert shares.size(10_000) == 15
    assert shares.limit == 8


def test_shares_shrink_towards_the_end(shares):
    shares.end(0.01)
    left, sizes = 240, []
    while left:
        sizes.append(shares.size(left))
        left -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 20
    assert sizes[-4:] == [1, 1, 1, 1]


def test_long_trials_wait_in_any_number(shares, clock):
    shares.start()
    clock.now = 16.0  # the first still runs
    assert shares.limit == math.inf
    assert shares.size(1_000) == 1
    shares.end(100.0)
    assert shares.size(1_000) == 1
    assert shares.limit == math.inf


def test_searches_that_learn_and_early_stopping_have_shares_of_one_trial():
    tpe = make_shares(validate_spec(SPEC | {"search": {"type": "tpe", "trials": 9}}), lambda: 3.0)
    asha = make_shares(
        validate_spec(
            SPEC
            | {
                "early_stopping": {"type": "asha", "grace_epochs": 1},
                "training": {"epochs": 4},
                "resources": {"max_concurrent": 5},
            }
        ),
        lambda: 3.0,
    )
    for shares in (tpe, asha):
        shares.end(0.1)
        assert shares.size(100) == 1
    assert tpe.limit == 3  # none waits
    assert asha.limit == 5
