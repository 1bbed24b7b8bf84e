import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.summaries.cache import Cache


def test_get_same_key_is_computed_once() -> None:
    cache = Cache[str](10, len)
    calls = []
    for _ in range(3):
        assert cache.get("a", lambda: calls.append(1) or "value") == "value"  # type: ignore[func-returns-value]
    assert len(calls) == 1


def test_get_while_another_computes_waits_for_it() -> None:
    cache = Cache[str](10, len)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(10)
        return "slow"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "a", slow)
        assert begun.wait(10)
        second = pool.submit(cache.get, "a", lambda: "other")
        go_on.set()
        assert first.result(10) == second.result(10) == "slow"


def test_get_error_is_raised_and_not_kept() -> None:
    cache = Cache[str](10, len)

    def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("a", fail)
    assert cache.get("a", lambda: "now") == "now"


def test_get_beyond_the_limit_drops_the_least_recently_used() -> None:
    cache = Cache[str](6, len)
    for key in "abc":
        cache.get(key, lambda: "xx")
    cache.get("a", lambda: "fresh")  # used again: b is the oldest now
    cache.get("d", lambda: "xx")
    assert cache.get("a", lambda: "fresh") == "xx"
    assert cache.get("b", lambda: "fresh") == "fresh"


def test_get_larger_than_the_limit_is_answered_and_leaves_nothing() -> None:
    cache = Cache[str](3, len)
    assert cache.get("a", lambda: "too long") == "too long"
    assert cache.get("a", lambda: "new") == "new"
    assert cache.get("a", lambda: "other") == "new"
