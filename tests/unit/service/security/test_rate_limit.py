"""Token buckets under a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.security.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_burst_is_allowed_then_the_wait_is_returned() -> None:
    clock = Clock()
    limit = RateLimit(2.0, 3, clock)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]
    clock.now = 0.5
    assert limit.take("a") == 0
    assert limit.take("a") > 0


def test_callers_do_not_share_a_bucket() -> None:
    limit = RateLimit(1.0, 1, Clock())
    assert limit.take("a") == 0
    assert limit.take("b") == 0
    assert limit.take("a") > 0


def test_returned_wait_suffices_and_refused_requests_cost_nothing() -> None:
    clock = Clock()
    limit = RateLimit(0.1, 1, clock)
    limit.take("a")
    wait_seconds = limit.take("a")
    for _ in range(100):
        limit.take("a")
    clock.now += wait_seconds
    assert limit.take("a") == 0


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.1, 10), st.integers(1, 20))
def test_no_pattern_gets_more_than_burst_and_rate(
    pauses: list[float], rate: float, burst: int
) -> None:
    clock = Clock()
    limit = RateLimit(rate, burst, clock)
    granted = 0
    for pause in pauses:
        clock.now += pause
        granted += limit.take("a") == 0
    assert granted <= burst + rate * clock.now + 1e-6


def test_memory_is_bounded() -> None:
    limit = RateLimit(1.0, 1, Clock())
    for caller in range(10_050):
        limit.take(caller)
    assert len(limit._buckets) == 10_000
